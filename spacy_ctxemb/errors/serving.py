"""A pipeline behind a port: E800 to E829."""


class ServingErrors:
    # settings of a service
    E800 = (
        "{host} port {port} cannot be opened: {reason}. Choose another --host or --port, or end "
        "the program that has it."
    )
    E801 = "{name} is {value!r}, but must be {expected}. Choose another value."
    E802 = "{path} holds no API key. Write one key a line, or leave --api-key-file out."
    E803 = (
        "The pipeline cannot be served, since it fails on the text {text!r}: {reason}. Mend it "
        "until nlp({text!r}) works."
    )

    # requests
    E810 = (
        "{n} texts wait already, of {limit} at most. Send the request again after the seconds "
        "that the header Retry-After says, or send it to another server."
    )
    E811 = "The body has more than {limit:,} bytes. Send fewer or shorter texts at a time."
    E812 = "The request has {n:,} texts, and {limit:,} are allowed. Send fewer at a time."
    E813 = (
        "The answer was not ready within {seconds:g} seconds, and is given up. Send fewer or "
        "shorter texts at a time, or raise the server's --timeout."
    )
    E814 = "The API key is missing or wrong. Send the header `Authorization: Bearer KEY`."
    E815 = "The body had not arrived within {seconds:g} seconds. Send it faster, or in parts."
    E816 = (
        "The pipeline failed on a text, with a {kind}. The log of the server says where. Leave "
        "that text out; send texts one at a time to find it."
    )
    E817 = "The body is not valid. At {where}: {reason}. The page /docs has the form of requests."
    E818 = "{n} dimensions are asked for, but vectors have {width}. Leave `dimensions` out."
    E819 = "{method} {path} cannot be answered: {reason}. The page /docs lists what can."
    E820 = "The server failed with a {kind}. Its log says where; tell who runs it."
    E821 = "The server is not ready: {reason}. Ask another server, or ask again later."
    E822 = "The client has gone away before its answer was ready."
