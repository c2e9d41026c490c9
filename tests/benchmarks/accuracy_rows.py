"""The rows of the table of accuracy: which encoder, and how it is trained."""

from typing import NamedTuple


class Recipe(NamedTuple):
    """How long and how fast is learned. batch: words. rate: of Adam, its peak in a schedule."""

    steps: int
    batch: int
    rate: float


class Row(NamedTuple):
    """encoder: which of the encoders given, or None.

    how: "frozen"; "cached", frozen too; "stacked", frozen, cached, and beside it a network of the
        task's own, that of "hashembedcnn"; "finetuned".
    """

    name: str
    encoder: str | None
    how: str


ROWS = {
    row.name: row
    for row in (
        Row("hashembedcnn", None, "finetuned"),
        *(
            Row(f"{encoder}-{how}", encoder, how)
            for encoder in ("bilm", "transformer", "minilm")
            for how in ("frozen", "cached", "stacked", "finetuned")
        ),
    )
}

#: By the config, and how a row is trained. Steps of "head" come before those of "finetuned". A biLM
#: in a pipeline has a recipe of its own where it is fine-tuned: it stands a larger rate than BERT.
NER = {
    ("hashembedcnn", "finetuned"): Recipe(2000, 400, 0.001),
    ("bilm", "finetuned"): Recipe(800, 400, 0.001),
    ("transformer", "finetuned"): Recipe(800, 400, 0.001),
    ("bilm", "frozen"): Recipe(1500, 400, 0.003),
    ("transformer", "frozen"): Recipe(1500, 400, 0.003),
    ("bilm", "stacked"): Recipe(2000, 400, 0.001),
    ("transformer", "stacked"): Recipe(2000, 400, 0.001),
    ("source", "frozen"): Recipe(1500, 200, 0.003),
    ("source", "stacked"): Recipe(2000, 400, 0.001),
    ("source", "head"): Recipe(600, 200, 0.003),
    ("source", "finetuned"): Recipe(1000, 200, 0.00015),
    ("bilm source", "finetuned"): Recipe(1000, 200, 0.0005),
}
#: Texts are longer than sentences, and have one label each.
TEXTCAT = {
    **NER,
    ("source", "frozen"): Recipe(600, 800, 0.01),
    ("source", "head"): Recipe(300, 800, 0.01),
    ("source", "finetuned"): Recipe(500, 500, 0.0001),
    ("bilm source", "finetuned"): Recipe(800, 500, 0.0005),
}
RECIPES = {"ner": NER, "textcat": TEXTCAT}
#: Where training examples are few, a step for each, but not fewer than these.
FEWEST_STEPS = 200
