"""Explanations: E730 to E749."""


class ExplainErrors:
    E730 = (
        "None of the components {names} gives labels to {what}, so there is no label to explain. "
        "Load a pipeline with ctxemb_textcat, ctxemb_ner, textcat, ner or spancat, or leave out "
        "component, label, span and method."
    )
    E731 = "There is no component '{name}' whose labels can be explained. There are {options}."
    E732 = "There is no label {label!r} to explain. The labels are: {labels}."
    E733 = "The text has no words: {text!r}. Pass a text with a word at least."
    E734 = (
        "Gradients go through heads of this package alone, ctxemb_textcat and ctxemb_ner, and "
        "'{name}' is a {found}. Use method 'occlusion', or name another component."
    )
    E735 = "There is no {what} '{found}'. Use one of {options}."
    E736 = (
        "Gradients need captum, which is not installed: pip install 'spacy-ctxemb[explain]'. "
        "Method 'occlusion' does without."
    )
    E737 = (
        "The text fills {found} steps of windows, and gradients are kept for {most}: batch_pieces "
        "of the encoder '{name}'. Explain a part of the text, or use method 'occlusion'."
    )
    E738 = (
        "The span {span} cannot be explained: {reason}. Pass the first token and the one after the "
        "last, of a text of {n_tokens} tokens, and a label."
    )
    E739 = (
        "'{name}' has found nothing in this text with one of the labels {labels}. To ask why not, "
        "pass a span of tokens and a label."
    )
    E740 = (
        "None of the encoders {names} has attention weights. Use a Transformer, imported without "
        "--wrap, or leave attention out."
    )
    E741 = "The text has no word {word!r}: {text!r}. Pass a word as the tokenizer cuts it."
    E742 = "The corpus has no words. Pass texts or Docs with a word at least."
    E743 = (
        "{word!r} has no vector in {text!r}. Use a pipeline with ctxemb and keep = "
        '"vectors", or with static vectors, and a word that is in its vocabulary.'
    )
    E744 = (
        "The corpus has the word {word!r} {found} times, and a map needs {least}. Pass more texts "
        "with it, or another word."
    )
    E745 = (
        "The tokenizer makes {before} tokens of the text, and the pipeline leaves {after}: one of "
        "the components {names} merges or splits tokens, as merge_entities does. Load the "
        "pipeline without it, by exclude = [NAME], to explain labels."
    )
    E746 = "The plane 'umap' needs umap-learn: pip install 'spacy-ctxemb[umap]'. Or use 'pca'."
    E747 = "n_groups is {found}; with {n_uses} uses of the word it can be from 1 to {n_uses}."
    E748 = (
        "The encoder of '{name}' is stateful: each pass would begin where the last one stopped. "
        "Set stateful = false."
    )
    E749 = "{name} is {found}, but should be {expected}."
