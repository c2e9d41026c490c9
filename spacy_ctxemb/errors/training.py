"""Training and the cache: E200 to E299."""


class TrainingErrors:
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
