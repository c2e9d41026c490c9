"""Configs, corpora and comparisons: E500 to E599."""


class CommandErrors:
    # configs, corpora and comparisons
    E500 = "There is no task {unknown}. Choose among {options}, with commas between several."
    E501 = "The tasks {names} cannot share a pipeline: each replaces the others. Name one, once."
    E502 = "--cnn puts a network beside a frozen encoder. Add --freeze, or leave --cnn out."
    E503 = "A cache is for a frozen encoder. Add --freeze, or leave --cache out."
    E504 = (
        "The encoder '{path}' is neither english, minilm, bilm nor transformer, nor a directory "
        "with a pipeline. Pass one of these, or OWNER/NAME on the Hugging Face Hub."
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
        "init fill-config` adds settings that are missing. One that is not permitted may be of a "
        "newer version: pip install -U spacy-ctxemb."
    )
    E521 = "GPU {gpu_id} cannot be used: {reason}. Leave --gpu-id out for the CPU."
    E522 = (
        "One of {n} workers was killed, probably since memory was not enough. Pass fewer "
        "--workers, and run the same command again: finished trainings are kept."
    )
    E523 = "{package} draws the plots, and is not installed: pip install 'spacy-ctxemb[project]'."
    E524 = "{paths} would all be written to {target}. Rename one, or choose different folders."
    E525 = "Memory is not enough: {reason}. Choose smaller sizes or batches, or another machine."
    E530 = (
        "None of the components {names} tells how sure it is of a label, so min_score can leave "
        "nothing out. Use a pipeline with ner, textcat, textcat_multilabel or spancat, or no "
        "min_score."
    )

    # ONNX
    E540 = "export onnx needs {name}, which is not installed: pip install 'spacy-ctxemb[onnx]'."
    E541 = (
        "The encoder is a {encoder}; only a Transformer or ModernTransformer of this package can "
        "be written as ONNX. Import the model without --wrap."
    )
    E542 = (
        "What onnxruntime computes with the model that was written differs by up to {found}, so it "
        "was not kept. Install other versions of onnx, onnxscript and onnxruntime."
    )
