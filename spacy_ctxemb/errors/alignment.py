"""Alignment of tokens: E750 to E769."""


class AlignmentErrors:
    E750 = (
        "The tokens of the {which} Doc have no vectors: {n} tokens, '{text}'. Make it with a "
        "pipeline that has a component 'ctxemb', or static vectors."
    )
    E751 = (
        "The vectors of the Docs have the widths {a} and {b}, so that they cannot be compared. "
        "Make both with the same encoder."
    )
    E752 = "There is no way to align '{method}'. Use one of {options}."
    E753 = (
        'The method "match" needs SciPy, which is not installed: pip install '
        '"spacy-ctxemb[align]". "argmax" and "itermax" do without it.'
    )
    E754 = (
        'The method "match" holds all similarities, and {m} by {n} tokens have more than '
        '{largest}. Align sentence by sentence, or use "argmax" or "itermax".'
    )
    E755 = (
        "{a} has {n_a} lines and {b} has {n_b}. Lines are aligned one by one: write each text "
        "and its translation on lines of the same number."
    )
    E756 = (
        "Line {number} of {path} is '{line}'. Expected links such as 0-0 1-2 (in gold also 1p2 for "
        "possible ones), a line for each sentence; or in all lines `sentence i j S` or "
        "`sentence i j P`, with numbers from 1."
    )
    E757 = "{path} has no links that count. Name the file with the gold alignment first."
    E758 = (
        "{found} has {n_found} sentences and {gold} has {n_gold}. Score the alignment of the same "
        "sentences, an empty line where there is no link."
    )
