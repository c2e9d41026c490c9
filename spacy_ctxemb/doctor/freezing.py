"""What learns, what does not, and where weights come from."""

from collections.abc import Iterator
from pathlib import Path

from .findings import Finding, error, ok, warning
from .parts import Part, Plan
from .wiring import find_upstream


def check_freezing(plan: Plan) -> Iterator[Finding]:
    """All components with encoders."""
    training, names = plan.training, [part.name for part in plan.parts]
    for key in ("frozen_components", "annotating_components"):
        unknown = [name for name in training[key] if name not in plan.config["nlp"]["pipeline"]]
        if unknown:
            advice = f"Correct the names; the pipeline has {names}."
            yield warning(f"training.{key} has {unknown}, which are not there.", advice)
    for part in plan.embedders:
        readers = find_readers(part, plan.parts)
        if part.is_frozen:
            yield from check_frozen(part, readers, plan)
        elif isinstance_embedder(part):
            yield from check_trained(part, readers)
        yield from check_weights(part, plan)


def isinstance_embedder(part: Part) -> bool:
    """Whether others may read from it."""
    return part.writes_tensor


def find_readers(part: Part, parts: list[Part]) -> list[Part]:
    """The components that read a component's vectors."""
    return [
        other
        for i, other in enumerate(parts)
        for listener in other.listeners
        if (j := find_upstream(listener.upstream_name, i, parts)) is not None and parts[j] is part
    ]


def check_frozen(part: Part, readers: list[Part], plan: Plan) -> Iterator[Finding]:
    """One that keeps its weights."""
    learning = [reader.name for reader in readers if not reader.is_frozen]
    if learning and not part.annotates:
        yield error(
            f"'{part.name}' is frozen and does not annotate, so {learning} would have no vectors "
            "to learn from.",
            f'Add "{part.name}" to training.annotating_components.',
        )
    elif learning:
        yield ok(f"'{part.name}' is frozen and annotates for {learning}")


def check_trained(part: Part, readers: list[Part]) -> Iterator[Finding]:
    """One that learns from its readers."""
    if not readers:
        yield warning(
            f"No component listens to '{part.name}', so nothing trains it.",
            "Put a spacy.Tok2VecListener.v1 into the model of a component, or freeze it.",
        )
        return
    frozen = [reader.name for reader in readers if reader.is_frozen]
    if len(frozen) == len(readers):
        yield warning(
            f"All that listen to '{part.name}' are frozen: {frozen}. Nothing trains it.",
            f"Freeze '{part.name}' too.",
        )
    elif frozen:
        yield warning(
            f"{frozen} are frozen, but '{part.name}', which they read, is not: they will see "
            "vectors other than those they know.",
            f"Freeze '{part.name}' too, or train {frozen} along.",
        )
    else:
        yield ok(f"'{part.name}' is trained by {[reader.name for reader in readers]}")


def check_weights(part: Part, plan: Plan) -> Iterator[Finding]:
    """Whether an encoder has weights, or gets some."""
    path = plan.initialize.get("init_tok2vec")
    target = (plan.config.get("pretraining") or {}).get("component")
    if part.is_sourced:
        yield ok(f"'{part.name}' has the weights of the pipeline it comes from")
    elif path and target == part.name:
        if Path(path).is_file():
            yield ok(f"'{part.name}' begins with the weights in {path}")
        else:
            advice = "Correct paths.init_tok2vec, or run `spacy pretrain` first."
            yield error(f"There are no weights at {path} for '{part.name}'.", advice)
    elif part.is_frozen:
        yield error(
            f"'{part.name}' is frozen, but nothing gives it weights: spaCy does not initialise "
            "what is frozen.",
            "Take it from a pipeline by `source`; or set initialize.init_tok2vec, and in "
            f'[pretraining] component = "{part.name}" and layer = "".',
        )
    elif has_loader(part, plan):
        yield ok(f"'{part.name}' begins with the weights that its encoder_loader reads")
    else:
        yield warning(
            f"'{part.name}' begins with random weights.",
            "Pretrain it, or import a published model: contextual vectors need much text.",
        )


def has_loader(part: Part, plan: Plan) -> bool:
    """Whether a published model is read when training starts."""
    section = plan.initialize["components"].get(part.name, {})
    return bool(section.get("encoder_loader"))


def has_weights(part: Part, plan: Plan) -> bool:
    """Whether an encoder begins with weights that have been trained."""
    path = plan.initialize.get("init_tok2vec")
    is_target = (plan.config.get("pretraining") or {}).get("component") == part.name
    return part.is_sourced or bool(path and is_target) or has_loader(part, plan)
