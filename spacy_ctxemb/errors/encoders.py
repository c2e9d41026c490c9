"""Encoders, pieces, windows, layers, and what is stored of them: E100 to E199."""


class EncoderErrors:
    # encoders
    E100 = "There is no activation '{name}'. Use one of {options} in the encoder's config."
    E101 = "A biLM's width {width} must be even, and hidden_width {hidden_width} at least 1."
    E102 = (
        "A character filter of width {size} exceeds max_characters of {max_characters}. Shorten it."
    )
    E103 = "width {width} does not divide into {n_heads} attention heads. Change width or n_heads."
    E104 = (
        "A window of {length} pieces exceeds the encoder's max_length of {max_length}. Shorten it."
    )
    E105 = "{name} of the biLM is {value}, but must be at least {least}. Change the config."
    E106 = (
        "{setting} is false, but {name} is {found} and a direction's width {width}. Make them "
        "equal, or leave {setting} out."
    )
    E107 = (
        "n_groups is {n_groups}, but must be from 1 to the number of blocks, {n_blocks}. Change it."
    )
    E108 = "{encoder} has no precision '{precision}'. Use one of {options}."
    E109 = (
        "{name} has no list of its {n_blocks} blocks to train differently. Leave layer_decay at "
        "1.0, and freeze_layers at 0, or at {n_layers} for the whole encoder."
    )
    E110 = (
        "Pairs of texts need the segments 0 and 1, but the encoder has n_segments = {n_segments}. "
        "Set it to 2 in the encoder's config, or next_sentence = false."
    )
    E111 = "{name} runs the package transformers, which is missing. Run pip install transformers."
    E112 = "The model {name} gave {found}; expected {expected}. Wrap another encoder."
    E113 = "HuggingFace.v1 cannot run the model_type {model_type}: {reason}. Take another encoder."

    # pieces
    E120 = "max_characters is {max_characters}. Use 3 to {most}; published models have 50."
    E121 = "The token '{word}' of tokens_to_add has character id {id}. Choose one from 0 to 255."
    E122 = "The token '{word}' of tokens_to_add has a `$`, which configs do not keep. Change it."
    E123 = (
        "{pieces} have no vocabulary yet. Make one with `python -m spacy ctxemb train-pieces`, and "
        "load it with spacy-ctxemb.TokenizerFile.v1 as pieces_loader in "
        "[initialize.components.ctxemb]. WordPieces and BytePairPieces learn one in "
        "nlp.initialize() with training examples. Take a frozen component from a pipeline by "
        "`source`."
    )
    E124 = "{source} is not a tokenizer in the JSON format of `tokenizers`: {reason}"
    E125 = "The vocabulary of {source} lacks the pieces {missing}. Add them, or train it again."
    E126 = (
        "The vocabulary of {source} has {size} pieces, vocab_size allows {limit}. "
        "Raise vocab_size (--vocab-size of train-pieces) to {size}, or train a smaller vocabulary."
    )
    E127 = "The vocabulary has neither [MASK] nor <mask> to hide pieces behind. Add one of them."
    E128 = (
        "The tokenizer of {source} makes {found} of the text 'a'. It must put one piece before a "
        "text and one after it: add such a post-processor, or [CLS] and [SEP], or <s> and </s>."
    )
    E129 = (
        "{loader} is to give [{section}.pieces] a vocabulary, but these are {found}. Remove "
        "pieces_loader, or use {options} there."
    )
    E130 = "The pieces of kind {kind} keep all text as it is. Leave --lowercase out."
    E131 = "The vocabulary has no pieces besides {n_special} special ones. Train it on more text."
    E132 = "There is no vocabulary at {path}. Make it with `python -m spacy ctxemb train-pieces`."
    E133 = (
        "spacy-ctxemb.LoadPieces.v1 found no encoder of subword pieces among {names}. Remove the "
        "callback, or use spacy-ctxemb.WordPieces.v1 in the encoder's config."
    )
    E135 = (
        "[{section}.pieces] has a vocabulary of {found} pieces already, other than the one of "
        "{expected} pieces in {path}. Remove what loads it, say LoadPieces.v1."
    )

    # windows
    E140 = (
        "A stride of {stride} does not fit a window of {window} pieces. Choose a window of 1 or "
        "more, and a stride from 1 to the window."
    )
    E141 = "batch_pieces of {batch_pieces} is less than one window ({longest}). Raise it."
    E142 = (
        "A window of {window} pieces, and {boundaries} boundary pieces, exceeds the encoder's "
        "max_length of {max_length}. Lower `window`, or raise `max_length` and pretrain again."
    )

    # layers and pooling
    E150 = "There is no {layer}: the encoder has {n_layers} layers, counted from 0. Choose another."
    E151 = "Unknown pooling '{name}'. Use one of {options}."
    E152 = "Unknown layer_norm '{name}'. Use one of {options}."

    # stored models
    E160 = (
        "Encoder and pieces do not fit: their (ids, characters) are {encoder} and {pieces}. Use "
        "CharacterPieces with BiLM alone, and equal vocab_size or max_characters."
    )
    E161 = (
        "Stored pieces (kind, ids, characters) = {found} do not fit the config's {expected}. "
        "Load them with the config they were saved with."
    )
    E162 = "Stored weights do not fit the config: {differences}. Load them with their own config."
    E163 = "{path} cannot be read as {expected}: {reason}. {advice}"
    E164 = "{path} cannot be written: {reason}. {advice}"
    E165 = (
        "{path} holds {names}, which are no part of a pipeline and would be lost. Choose another "
        "folder, move these files away, or use nlp.to_disk, which writes beside them."
    )
    E166 = "{path} would be replaced, but this program works in {directory}. Choose another folder."
    E167 = (
        "The pieces are of the kind {found!r}, and this version knows {known}. If a newer one has "
        "written them, install that: pip install -U spacy-ctxemb."
    )
