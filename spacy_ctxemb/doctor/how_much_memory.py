"""The memory of a training, from its batches and encoders."""

from collections.abc import Iterator, Sequence
from typing import Any

from spacy.tokens import Doc

from ..pieces.characters import CharacterPieces
from ..thinc_model.embedder_shim import EmbedderShim
from .build_parts import Part, Plan
from .count_pieces import PieceCounts
from .findings import Finding, ok, warning
from .memory_estimate import (
    BUFFERS,
    MEGABYTE,
    Estimate,
    Load,
    estimate_prediction,
    estimate_update,
    has_layer_listeners,
)

#: Megabytes above which an estimate is worth a warning.
MUCH = 16_000


def check_memory(
    name: str,
    part: Part,
    plan: Plan,
    *,
    docs: Sequence[Doc],
    counts: PieceCounts,
    batches: Sequence[Sequence[int]],
    readers: Sequence[Part],
) -> Iterator[tuple[Finding, dict[str, float]]]:
    """Of one encoder; each with its figures.

    name: of the encoder, see Part.encoders.
    docs, counts: of train. batches: which of the documents are in each batch.
    """
    training, shim = plan.training, part.encoders[name]
    largest = max(batches, key=lambda batch: sum(counts.document_pieces[i] for i in batch))
    load = measure_load(docs, counts, largest, shim)
    if not part.is_frozen:
        averages = bool(training["optimizer"].get("use_averages", True))
        parts = training["accumulate_gradient"]
        update = estimate_update(shim, load, averages=averages, micro_batches=parts)
        advice = "Lower the size of training.batcher, or raise accumulate_gradient."
        finding = describe("Updating", name, update, advice, list_savings(shim))
        yield finding, to_figures("update", update)
    listeners = [listener for reader in readers for listener in reader.listeners]
    with_layers = has_layer_listeners(listeners) or getattr(part.pipe, "keep", "") == "layers"
    size = plan.config["nlp"]["batch_size"] or 1000
    n_tokens = round(min(size, len(docs)) * sum(counts.document_tokens) / len(docs))
    everything = measure_load(docs, counts, range(len(docs)), shim)
    prediction = estimate_prediction(shim, everything, n_tokens=n_tokens, with_layers=with_layers)
    advice = "Lower nlp.batch_size, or batch_pieces of the encoder."
    yield (
        describe("Predicting with", name, prediction, advice),
        to_figures("prediction", prediction),
    )


def measure_load(
    docs: Sequence[Doc], counts: PieceCounts, chosen: Sequence[int], shim: EmbedderShim
) -> Load:
    """What some of the documents are to an encoder."""
    pieces = sum(counts.document_pieces[i] for i in chosen)
    windows = sum(counts.document_windows[i] for i in chosen)
    words = {token.text for i in chosen for token in docs[i] if not token.is_space}
    n_bytes = sum(len(word.encode("utf8", "ignore")) for word in words)
    room = shim.pieces.n_characters if isinstance(shim.pieces, CharacterPieces) else 0
    return Load(
        pieces=pieces + 2 * windows,
        tokens=sum(counts.document_tokens[i] for i in chosen),
        words=len(words),
        length=round(pieces / max(windows, 1)) + 2,
        word_length=min(n_bytes / max(len(words), 1) + 2, room or 50),
    )


def list_savings(shim: EmbedderShim) -> list[str]:
    """Settings that lower what passes keep, which the estimate does not count."""
    embedder = shim.embedder
    parts = any(getattr(module, "recomputes", False) for module in embedder.encoder.modules())
    savings = ["checkpoint_gradients"] if parts or embedder.recomputes_batches else []
    precision = embedder.training_precision
    return savings + ([f"training_precision = '{precision}'"] if precision != "fp32" else [])


def describe(
    what: str, name: str, estimate: Estimate, advice: str, savings: Sequence[str] = ()
) -> Finding:
    """How much, and of what. savings: what makes it less than is said."""
    parts = (estimate.parameters, estimate.passes, estimate.outputs)
    weights, passes, vectors = (round(n / MEGABYTE) for n in parts)
    message = (
        f"{what} '{name}' takes about {estimate.megabytes:,.0f} MB: {weights:,} for parameters, "
        f"{passes:,} for passes, {vectors:,} for vectors, {BUFFERS // MEGABYTE} for buffers"
    )
    if savings:
        message += f"; what {' and '.join(savings)} may save is not counted"
    return ok(message) if estimate.megabytes < MUCH else warning(message, advice)


def to_figures(name: str, estimate: Estimate) -> dict[str, Any]:
    values = {**estimate._asdict(), "megabytes": estimate.megabytes}
    return {name: {key: round(value) for key, value in values.items()}}
