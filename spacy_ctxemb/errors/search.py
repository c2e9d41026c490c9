"""Encoding many texts, and search in them: E700 to E729."""


class SearchErrors:
    # encoding
    E700 = (
        "None of the components {names} writes contextual vectors. Add one: "
        "nlp.add_pipe('ctxemb'), with keep = 'tensor'."
    )
    E701 = "There is no {what} {found!r}. Choose among {options}."
    E702 = (
        "The text {id!r} has no sentence boundaries, which the level sent needs. Put a component "
        "that finds sentences before the encoder, as nlp.add_pipe('sentencizer', first=True) does; "
        "or choose another level."
    )
    E703 = "The text {id!r} has no spans under the key {key!r}, but {found}. Pass one of these."
    E704 = (
        "At the end of the pipeline, doc.tensor of {where} has no vectors of the encoder. Look "
        "which of the components {names} removes or replaces doc.tensor, and put it before the "
        "encoder, or remove it."
    )
    E705 = (
        "The item at place {place} is {found}, not a text, a Doc or a pair of one of these and an "
        "id, which is a text or a whole number. Pass such items."
    )
    E706 = (
        "The text {id!r} has {n:,} characters, and the pipeline takes {max_length:,} at most. "
        "Split it into several, or raise nlp.max_length where memory allows."
    )
    E707 = (
        "The text {id!r} holds the character {character!r}, half of one in UTF-16, which UTF-8 "
        "has not. Write the text anew in UTF-8, or remove it."
    )
    E708 = '{what} needs {package}: pip install "spacy-ctxemb[{extra}]".'
    E709 = (
        "The pipeline returned {found} Docs for {n} texts, so no vector can be told to be that of "
        "a text. Let its components and their error handlers return every Doc."
    )
    E710 = (
        "{path} has what an earlier run has encoded, but {name} was {before!r} there, and is "
        "{now!r} now. Repeat that run, or pass --force to begin anew."
    )
    E711 = "Another run encodes into {path} at this moment. Wait for it, or choose another output."

    E725 = (
        "The vectors of '{name}' depend on which texts are encoded together, so that no text has "
        'vectors of its own. Set stateful = false, and layer_norm to another value than "batch".'
    )
    E726 = "{path} cannot be the output, since {reason}. Choose another folder or file *.parquet."

    # search
    E713 = (
        "{path} cannot be read as an index: {reason}. Put a whole copy in its place, or write it "
        "anew with `python -m spacy ctxemb index`."
    )
    E714 = (
        "{path} is an index of the format {found!r}, and this version reads {known!r}. Write it "
        "anew with `python -m spacy ctxemb index`, or install another version of spacy-ctxemb."
    )
    E715 = (
        "The vectors of the index {path} are those of another encoder: its digest is {before}, "
        "that of the pipeline {now}. Pass the pipeline that wrote the index, or index anew."
    )
    E716 = (
        "The index {path} names the pipeline {pipeline!r}, which cannot be loaded: {reason}. Pass "
        "its path with --pipeline, or load it and pass it to Index.load."
    )
    E717 = (
        "The id {id!r} is there twice: each text of an index needs its own. Remove the former with "
        "index.remove([{id!r}]), or choose another id."
    )
    E718 = "The index has no texts with the ids {ids}. Nothing was removed; leave these out."
    E719 = "The query {query!r} has no vector, since it has no word. Ask for at least one word."
    E720 = "{path} has no text with a vector, so there is nothing to search in. Pass other texts."
    E721 = "{what} must be {expected}, not {found!r}."
    E722 = (
        "A vector is not finite, or its width is not {width}: {found}. Only vectors of the "
        "index's encoder can be added or searched."
    )
    E723 = (
        "None of the components {names} answers questions. Pass a pipeline that has ctxemb_qa: "
        "--reader PIPELINE, or reader=nlp."
    )
    E724 = "{path} holds other files than an index: {names}. Choose another folder."
    E727 = (
        "Answers are read in texts or sentences, and the passages of this index are of the level "
        "{level}. Make an index of the level sent or doc."
    )
