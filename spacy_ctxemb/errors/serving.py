"""A pipeline behind a port: E800 to E829."""


class ServingErrors:
    # settings of a service
    E800 = (
        "{host} port {port} cannot be opened: {reason}. Choose another --host or --port, or end "
        "the program that has it."
    )
    E801 = "{name} is {value!r}, but must be {expected}. Choose another value."
    E802 = (
        "{path} holds no API key. Write one key a line of the file, or keys with commas between "
        "into CTXEMB_API_KEYS; or leave both out."
    )
    E803 = (
        "The pipeline cannot be served, since it fails on the text {text!r}: {reason}. Mend it "
        "until nlp({text!r}) works."
    )

    # requests
    E810 = (
        "The server has enough to do: {n} texts or requests wait already. Send the request again "
        "after the seconds that the header Retry-After says, or send it to another server."
    )
    E811 = "The request has more than {limit:,} {unit}. Send fewer or shorter texts at a time."
    E812 = "The request has {n:,} texts, and {limit:,} are allowed. Send fewer at a time."
    E813 = (
        "The request was not done within {seconds:g} seconds, and is given up. Send fewer or "
        "shorter texts at a time, send them faster, or raise the server's --timeout."
    )
    E814 = "The API key is missing or wrong. Send the header `Authorization: Bearer KEY`."
    E815 = (
        "The answer would be about {n:,} numbers, and {limit:,} are allowed in this form. Send "
        "fewer texts at a time, or ask for encoding_format base64."
    )
    E816 = (
        "The server failed with a {kind}. Its log says where. If it is because of a text, leave "
        "that out; send texts one at a time to find it."
    )
    E817 = "The body is not valid. At {where}: {reason}. The page /docs has the form of requests."
    E818 = "{n} dimensions are asked for, but vectors have {width}. Leave `dimensions` out."
    E819 = "{method} {path} cannot be answered: {reason}. The page /docs lists what can."
    E821 = "There is no answer: {reason}. Ask another server, or ask again later."
    E823 = (
        "The texts need about {seconds:.0f} seconds, and {limit:g} are allowed. Send fewer or "
        "shorter texts at a time, or raise the server's --timeout."
    )
