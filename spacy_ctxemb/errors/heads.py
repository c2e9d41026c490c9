"""Heads: components that score classes of tokens and texts on an encoder: E600 to E699."""


class HeadErrors:
    E600 = (
        "A PieceStatesListener for '{upstream}' has no encoder to take states from: no component "
        "'ctxemb' comes before it, or it was excluded. Put one there, or use nlp.replace_listeners."
    )
    E601 = (
        "The PieceStatesListener of '{component}' has width {found}, the states of '{name}' have "
        "width {width}. Set its width to {width}, the encoder's, or to null. If it was added just "
        "now, remove it first: nlp.remove_pipe('{component}')."
    )
    E602 = (
        "'{component}' reads the states of '{upstream}', but a Doc of {n_tokens} tokens came "
        "without them: '{upstream}' is missing, disabled or comes later, or they were dropped when "
        "read once. Run the whole pipeline; in training add it to training.annotating_components."
    )
    E603 = (
        "Head.v1 reads states, which {found} does not make. Put "
        "spacy-ctxemb.PieceStatesListener.v1 into its section tok2vec."
    )
    E604 = "Head.v1 cannot read '{reads}' of the states. Use one of {options}."
    E605 = (
        "The model of '{name}' is {found}, which is no head. Use @architectures = "
        "'spacy-ctxemb.Head.v1' in [components.{name}.model]."
    )
    E606 = "A label of '{name}' is {label!r}, but must be a text that is not empty."
    E607 = (
        "'{name}' has the labels {labels}, and needs {n} at least. Check the annotations in "
        "corpora.train, or add labels by nlp.get_pipe('{name}').add_label."
    )
    E608 = (
        "The head of '{name}' has no weights yet. Call nlp.initialize() with examples, load a "
        "trained pipeline, or load a published model with its head."
    )
    E609 = (
        "{source} has a head of {n} classes for '{name}', but names for {names}. Take weights and "
        "labels from the same model."
    )
    E610 = "There is no scheme '{scheme}' of labels for tokens. Use one of {options}."
    E611 = (
        "The examples have the label '{label}', for which the head has no class, but for "
        "{classes}. Call add_label first, or initialize the component with examples of all labels."
    )
    E612 = "There is no aggregation '{aggregation}'. Use one of {options}."
    E613 = (
        "The head of '{name}' reads '{reads}'. Set reads in [components.{name}.model] to "
        '"pieces" for ctxemb_ner, and to "first", "mean" or "piece_mean" for ctxemb_textcat.'
    )
    E614 = "There is no kind '{kind}' of classification for '{name}'. Use one of {options}."
    E615 = (
        "per_sentence of '{name}' needs a text that was encoded sentence by sentence: this Doc has "
        "{n} sentences, and was encoded as {n_encoded}. Put a sentencizer or a parser before the "
        "encoder, and set split_sentences = true in its model; or set per_sentence = false."
    )
    E616 = (
        "'{name}' cannot learn from {cats}. With kind = 'single_label' one label of a text is 1.0 "
        "and the others are 0.0; with 'multi_label' each is from 0.0 to 1.0; with 'regression' "
        "each is a number."
    )
    E617 = (
        "add_head makes components of the tasks {options}, not of '{task}'. Take another model, or "
        "the component for that task."
    )
    E618 = (
        "There is no encoder '{name}' to put a head behind, but the components {found}. Name a "
        "component of the factory 'ctxemb' as upstream."
    )
    E619 = (
        "{head} reads a Transformer of width {width}, not a {found}. Put it behind the encoder of "
        "its own model."
    )
    E620 = (
        "--head is for {options}, and does without --listener-mix, --cache and --cnn. Here the "
        "tasks are {tasks}, and the options in its way: {unfit}."
    )
    E621 = (
        "The head of '{name}' reads states of width {width}, the encoder of '{encoder}' has width "
        "{found}. Set encoder to the component that the head was trained with, and source both."
    )
    E622 = (
        'doc._.ctxemb_questions is {found}, but must be a list as in SQuAD\'s "qas": '
        '[{{"question": "Where?", "answers": [{{"text": "Oslo", "answer_start": 13}}]}}], with '
        "an empty list of answers where the text has none."
    )
    E623 = (
        "The answer {answer!r} to {question!r} is said to begin at character {start} of the text, "
        "where {there!r} stands. Correct answer_start, or the text; a text that was cut or changed "
        "after its questions were written needs them anew."
    )
    E624 = (
        "The encoder '{encoder}' cannot read questions: --task qa needs a single encoder of "
        "subwords. Pass --encoder english, minilm, or a pipeline with one Transformer."
    )
    E625 = (
        "--task qa runs the encoder itself, and does without --listener-mix, --cache and --cnn. "
        "Here the tasks are {tasks}. Leave out {unfit}, or add the task that it is for."
    )

    # Heads that are fitted
    E640 = (
        "fit = true of '{name}' is for labels, that is for the kinds 'single_label' and "
        "'multi_label', not for '{kind}'. Leave it out, and train."
    )
    E641 = (
        "fit = true of '{name}' runs the encoder before it, and so needs the pipeline. Call "
        "nlp.initialize, or pass nlp=nlp to the component's initialize."
    )
    E642 = (
        "fit = true of '{name}' needs a head that is one linear layer. Remove activation and "
        "norm_epsilon from [components.{name}.model], or leave fit out, and train."
    )
    E643 = (
        "fit = true of '{name}' finds nothing to tell apart in {n} examples: none of the labels "
        "{labels} has both examples and counterexamples. Give examples of two labels at least, or "
        "with 'multi_label' also texts that do not have the label."
    )
    E644 = (
        "fit = true of '{name}' needs scikit-learn, which is not installed: "
        'pip install "spacy-ctxemb[few]". The trained pipeline works without it.'
    )
    E645 = (
        "--few fits heads of textcat or textcat_multilabel, and does without --no-head, "
        "--listener-mix, --cache and --cnn. Here the tasks are {tasks}, and the options in its "
        "way: {unfit}."
    )
    E646 = (
        "--few needs an encoder that knows language already, and '{encoder}' begins with random "
        "weights. Pass --encoder english, minilm, or a pipeline with a trained encoder."
    )
    E647 = (
        "fit = true of '{name}' needs the weights of '{encoder}', which initialize.init_tok2vec "
        "loads only after the head is fitted. Load them first: save the pipeline with the encoder, "
        "take it by `source`, and set init_tok2vec = null."
    )
    W640 = (
        "Nothing tells the labels {labels} of '{name}' apart from others: no example has them, or "
        "all have. Their scores do not depend on the text. Give examples, or leave them out."
    )
