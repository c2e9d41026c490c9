"""The heads of each family of BERT: the names of their layers, and their activations."""

from typing import NamedTuple

#: In place of an activation: that of the encoder, or the one that config.json has for heads.
OF_ENCODER, OF_HEAD = "encoder", "head"


class HeadNames(NamedTuple):
    """The modules of a head in a family's files.

    output: the last linear layer. dense, norm: those before it, if there are any.
    activation: of the dense layer. bias: the output's, where it is a parameter of its own.
    """

    output: str
    dense: str | None = None
    activation: str | None = None
    norm: str | None = None
    bias: str | None = None

    @property
    def modules(self) -> dict[str, str]:
        """Their names by those of our head."""
        named = {"dense": self.dense, "norm": self.norm, "output": self.output}
        return {ours: theirs for ours, theirs in named.items() if theirs is not None}

    def list_own(self) -> list[str]:
        """The modules whose weights no other module has: with a norm the output may share the table
        of pieces."""
        return [
            module for ours, module in self.modules.items() if ours != "output" or not self.norm
        ]


#: By task: of pieces, of texts, of answers in a text, of hidden pieces.
Heads = dict[str, HeadNames]

BERT: Heads = {
    "token": HeadNames("classifier"),
    "text": HeadNames("classifier", "pooler.dense", "tanh"),
    "question": HeadNames("qa_outputs"),
    "masked": HeadNames(
        "cls.predictions.decoder",
        "cls.predictions.transform.dense",
        OF_ENCODER,
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.bias",
    ),
}
ROBERTA: Heads = BERT | {
    "text": HeadNames("classifier.out_proj", "classifier.dense", "tanh"),
    "masked": HeadNames(
        "lm_head.decoder", "lm_head.dense", "gelu", "lm_head.layer_norm", "lm_head.bias"
    ),
}
ELECTRA: Heads = BERT | {
    "text": HeadNames("classifier.out_proj", "classifier.dense", "gelu"),
    "masked": HeadNames(
        "generator_lm_head",
        "generator_predictions.dense",
        "gelu",
        "generator_predictions.LayerNorm",
    ),
}
DISTILBERT: Heads = BERT | {
    "text": HeadNames("classifier", "pre_classifier", "relu"),
    "masked": HeadNames("vocab_projector", "vocab_transform", OF_ENCODER, "vocab_layer_norm"),
}
ALBERT: Heads = BERT | {
    "text": HeadNames("classifier", "pooler", "tanh"),
    "masked": HeadNames(
        "predictions.decoder",
        "predictions.dense",
        OF_ENCODER,
        "predictions.LayerNorm",
        "predictions.bias",
    ),
}
MODERN = HeadNames("classifier", "head.dense", OF_HEAD, "head.norm")

#: By model_type.
HEADS: dict[str, Heads] = {
    "bert": BERT,
    "distilbert": DISTILBERT,
    "electra": ELECTRA,
    "albert": ALBERT,
    "modernbert": {
        "token": MODERN,
        "text": MODERN,
        "question": MODERN,
        "masked": MODERN._replace(output="decoder"),
    },
    **dict.fromkeys(("roberta", "roberta-prelayernorm", "xlm-roberta", "camembert"), ROBERTA),
    "mpnet": ROBERTA,
}

#: What names of models with a head end in; the first of a task is written.
TASKS = {
    "ForTokenClassification": "token",
    "ForSequenceClassification": "text",
    "ForQuestionAnswering": "question",
    "ForMaskedLM": "masked",
    "ForPreTraining": "masked",
}
