"""Models that others have published: E300 to E399."""


class PublishedModelErrors:
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
        "{path} has {found}, but no {lost}, so that its adapter is not whole. Download both, or "
        "remove the adapter."
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
        "(truncate_dim), but doc.vector has as many as the vectors of tokens. Remove it and take "
        "doc.vector[:{found}] yourself, or pass --no-pooling."
    )
    E356 = (
        "In {path}, {key} is {found}, which cannot be: {reason}. Take config.json and weights of "
        "one model."
    )
    E357 = (
        "According to {path} {key} is {value}, in tokenizer.json it is {found}. Take all files of "
        "the tokenizer from one model, or correct {key}."
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
    E363 = (
        "The heads of the pipeline are those of {found}, and --head is {chosen}. Name one of them, "
        "or 'none' for the encoder alone."
    )

    # models that are not on this machine
    E370 = (
        "There is no folder {name} here, {endpoint} cannot be reached for {name} ({reason}), and "
        "the cache {cache} lacks {lost}. Connect (HF_HUB_OFFLINE must not be set), or pass the "
        "path of a folder."
    )
    E371 = (
        "There is no folder {name} here, and {endpoint} shows no model of this name. Pass "
        "OWNER/NAME, or the path of a folder. If the model is private, set HF_TOKEN."
    )
    E372 = (
        "The revision {revision} of {name} cannot be taken: {reason}. Pass a branch, a tag or the "
        "hash of a commit, or none for the newest."
    )
    E373 = (
        "{endpoint} refuses access to {name}: {reason}. If the model is gated, accept its terms on "
        "its page; then set HF_TOKEN to a token of yours that may read it."
    )
    E374 = "The disk is full: {source} cannot be saved in {path}. Make room, or set HF_HOME."
    E375 = (
        "The download of {source} broke off: {reason}. Nothing of it is used. Run this again; what "
        "is whole is not downloaded again."
    )
    E376 = (
        "{address} has the SHA-256 {found}, not {expected}. It is another file than you want, and "
        "was not kept. Correct the checksum, or take the file from elsewhere."
    )
    E377 = (
        "{name} has no {missing}, but {found}. Pass a model that transformers, "
        "sentence-transformers or peft can load, with weights of PyTorch."
    )
    E378 = "{address} cannot be downloaded: {reason}. Correct it, or pass the path of a file."
    E379 = (
        "pretrained of '{name}' is {pretrained}, but {reason}. Loading a config downloads nothing. "
        "{advice}"
    )

    # heads of published models
    E380 = (
        "{path} has the head {found}; known are heads of the tasks {known}. Name one of these that "
        "the model has, or import its encoder alone."
    )
    E381 = "By its weights the head of {path} may be of the tasks {found}. Say which one it is."
    E382 = "In {path}, {key} is {found}; expected {expected}. Correct it, or take another copy."
    E383 = "There is no token {i} in a Doc of {n_tokens}. Pass the number of one of its tokens."
    E384 = (
        "The question and the pieces around it are {n} pieces, which leaves no room for the text "
        "in windows of {max_length}. Ask a shorter question, or raise max_length."
    )
    E385 = (
        "{path} cannot be read as questions in the format of SQuAD: {reason}. Pass its JSON file."
    )
    E386 = (
        "'{name}' has no head. Import a model that has one, or load a pipeline in which it was "
        "saved."
    )
    E387 = (
        "'{name}' reads the encoder of '{encoder}', but the encoders of pieces in its pipeline are "
        "{found}. Set encoder to one of them."
    )
    E388 = (
        "'{name}' has to tell a question from a text by segments, which {encoder} does not take. "
        "Import the model without --wrap."
    )
    E389 = "'{name}' needs a question and a Doc with text, but the {what} is {found!r}."

    # adapters
    E390 = (
        "{path} is an adapter of the peft_type {found}; only LORA is merged. Merge it with the "
        "package peft (merge_and_unload, then save_pretrained)."
    )
    E391 = (
        "In {path}, {key} is {found}, which is not merged here. Merge the adapter with the package "
        "peft (merge_and_unload, then save_pretrained)."
    )
    E392 = (
        "The model that {path} names in base_model_name_or_path, {found}, {reason}. Put the path "
        "of the model there, or OWNER/NAME@REVISION."
    )
    E393 = (
        "The adapter in {path} has the tensors {names} ({n} in all), for which the model has no "
        "layer. Take the adapter and the model that it was trained on."
    )
    E394 = (
        "In the adapter in {path}, {name} has the shape {found}; expected {expected}. Take the "
        "adapter, its adapter_config.json and the model that it was trained on."
    )
    E395 = "layers is {found}, which is none of {options}. Pass one of these."
    E396 = (
        "There is no {name}. It was taken for a path, since there is a folder {folder} here, and "
        "nothing was downloaded. Correct the path, or pass {name}@main for a model on the hub."
    )
    E397 = (
        "The head of '{head}' reads the encoder of '{own}', and --component is {component}. Leave "
        "that out, or pass --head with another head, or --head none for the encoder alone."
    )
    E398 = (
        "The head {head} was asked for, but a model that transformers runs (wrap) takes none. "
        "Import it without wrap, or with the head none."
    )
    E399 = (
        "{name} has no ELMo of one options.json and one file .hdf5 at its top, but {found}. Pass "
        "the addresses of both files, as https://huggingface.co/{name}/resolve/main/FILE."
    )
