"""Warnings: W001 to W099."""


class Warnings:
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
    W006 = "Nothing more is written to the cache in {path}: {reason}. Make room or change its path."
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
    W014 = "sentence-transformers puts '{prompt}' before each text; here you do it."
    W015 = "The head is left out. {reason}"
    W016 = (
        "The index is large enough for a graph of neighbours, which needs usearch. Without it each "
        'query is compared with all passages. To search faster: pip install "spacy-ctxemb[search]".'
    )
    W019 = (
        "The pipeline was written by spacy-ctxemb {written}, and this is {own}. If its vectors or "
        "results are wrong, install that version: pip install -U spacy-ctxemb."
    )
