"""Pretraining on text: E400 to E499."""


class PretrainingErrors:
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
    E407 = "Line {line} of {path} has no text in the field '{field}'. Set text_field, or mend it."
    E408 = "{path} is read by the package pyarrow, which is missing. Run pip install pyarrow."
    E409 = "{path} has no column '{field}' of text; there are {names}. Set its text_field."
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
    E414 = "No word of the text occurs {min_count} times. Lower min_count, or take more text."
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
    E457 = "[pretrain] asks for {name}, which is missing. Run pip install {name}, or leave it out."
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
        "The weights of losses are {weights}. Each must be 0 or more, and one of tokens, texts, "
        "relations and uses above 0. Change them in [pretrain.objective]."
    )
    E469 = (
        "initial_table needs an encoder with a table of subword pieces, and {encoder} has none. "
        "Set initial_table to false, or use Transformer.v1 or ModernTransformer.v1."
    )
    E470 = "masked_texts is {value}. Choose a share of texts above 0, and at most 1, say 0.25."
