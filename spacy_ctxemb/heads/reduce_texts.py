"""`spacy-ctxemb.TextCatReduce.v1`: spaCy's, which takes texts without tokens as well."""

from collections.abc import Callable

from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model, chain
from thinc.types import Floats2d

Vectors = list[Floats2d]


def build_text_reducer(
    *,
    tok2vec: Model[list[Doc], Vectors],
    exclusive_classes: bool,
    use_reduce_first: bool = True,
    use_reduce_last: bool = False,
    use_reduce_max: bool = True,
    use_reduce_mean: bool = True,
    nO: int | None = None,
) -> Model[list[Doc], Floats2d]:
    """`spacy-ctxemb.TextCatReduce.v1`: a linear layer on what sums up the vectors of a text.

    Like `spacy.TextCatReduce.v1`, but a text without tokens counts as one vector of zeros; spaCy's
    fails there if it reads more than the mean.

    tok2vec: what gives each text a vector for each token, such as a listener or spacy.Tok2Vec.v2.
    exclusive_classes: whether a text has exactly one class.
    use_reduce_first: whether it reads the vector of the first token.
    use_reduce_last: whether it reads that of the last one.
    use_reduce_max: whether it reads the largest value of each column.
    use_reduce_mean: whether it reads the mean.
    nO: the number of classes; null to take it from the training data.

    Raises spaCy's E1057 if it is to read nothing.
    """
    build_reducer = registry.get("architectures", "spacy.TextCatReduce.v1")
    model: Model[list[Doc], Floats2d] = build_reducer(
        tok2vec=chain(tok2vec, give_each_text_a_vector(tok2vec.maybe_get_dim("nO"))),
        exclusive_classes=exclusive_classes,
        use_reduce_first=use_reduce_first,
        use_reduce_last=use_reduce_last,
        use_reduce_max=use_reduce_max,
        use_reduce_mean=use_reduce_mean,
        nO=nO,
    )
    model.set_ref("tok2vec", tok2vec)
    return model


def give_each_text_a_vector(width: int | None = None) -> Model[Vectors, Vectors]:
    """A vector of zeros for each text that has none. width: of the vectors, if it is known."""
    return Model("a-vector-for-each-text", forward, dims={"nI": width, "nO": width})


def forward(
    model: Model[Vectors, Vectors], vectors: Vectors, is_train: bool
) -> tuple[Vectors, Callable[[Vectors], Vectors]]:
    def backprop(gradients: Vectors) -> Vectors:
        pairs = zip(vectors, gradients, strict=True)
        return [gradient[: len(rows)] for rows, gradient in pairs]

    filled = [rows if len(rows) else model.ops.alloc2f(1, rows.shape[1]) for rows in vectors]
    return filled, backprop
