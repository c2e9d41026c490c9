"""Writing a model in the ONNX format, in 32 and in 8 bits, and checking what was written."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from ..atomic_files import replacing_folder
from ..checkpoints.bert.read_head import PublishedHead
from ..encoders import Encoder
from ..encoders.bert_transformer import N_SEGMENTS
from ..encoders.transformer_blocks import BlockEncoder
from ..errors import Errors
from ..heads.head_layers import Head
from ..torch_state import in_ordinary_torch
from .example import write_example
from .padded_model import PaddedModel

#: Names of files, and the largest differences that are accepted of scores in 32 bits, as a share
#: of the largest score.
FLOATS, BYTES = "model.onnx", "model_int8.onnx"
TOLERANCE = 1e-3

INPUTS = ["input_ids", "attention_mask", "token_type_ids"]

#: Lengths of the windows of a batch that is computed for comparison.
LENGTHS = (3, 9, 5)


class Differences(NamedTuple):
    """The largest differences from PyTorch, and the largest value there."""

    floats: float
    bytes: float
    largest: float


@in_ordinary_torch
def write_onnx(
    encoder: Encoder, tokenizer_json: str, folder: Path, *, head: PublishedHead | None = None
) -> Differences:
    """Write model.onnx, model_int8.onnx, tokenizer.json, labels.json and an example.

    Raises E540 without the packages for it, E541 for an encoder that is no Transformer of this
    package, E542 where the written model computes something else.
    """
    check_packages()
    if not isinstance(encoder, BlockEncoder):
        raise ValueError(Errors.E541.format(encoder=type(encoder).__name__))
    model = build_model(encoder, head)
    n_segments = encoder.settings.get("n_segments", 0)
    names = INPUTS if n_segments >= N_SEGMENTS else INPUTS[:2]
    with replacing_folder(folder) as temporary, without_warnings():
        save(model, names, temporary / FLOATS)
        quantise(temporary / FLOATS, temporary / BYTES)
        differences = compare(model, names, temporary, encoder.n_ids)
        if not differences.floats <= TOLERANCE * max(differences.largest, 1.0):
            raise ValueError(Errors.E542.format(found=f"{differences.floats:.1e}"))
        task = None if head is None else head.task
        tokens = truncate(tokenizer_json, encoder.max_length, task)
        (temporary / "tokenizer.json").write_text(tokens, encoding="utf8")
        labels = [] if head is None else head.labels
        (temporary / "labels.json").write_text(json.dumps(labels) + "\n", encoding="utf8")
        example = write_example(task, "single_label" if head is None else head.kind)
        (temporary / "example.py").write_text(example, encoding="utf8")
    return differences


def truncate(tokenizer_json: str, max_length: int | None, task: str | None) -> str:
    """Let a tokenizer cut texts to the pieces that the model has positions for; no questions."""
    if max_length is None:
        return tokenizer_json
    tokenizer = Tokenizer.from_str(tokenizer_json)
    strategy = "only_second" if task == "question" else "longest_first"
    tokenizer.enable_truncation(max_length, strategy=strategy)
    return tokenizer.to_str()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Leave out what the libraries say of their own future, and of steps that change no value."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def check_packages() -> None:
    """Raise E540 where one of the packages is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(Errors.E540.format(name=error.name)) from error


def build_model(encoder: BlockEncoder, head: PublishedHead | None) -> PaddedModel:
    if head is None:
        return PaddedModel(encoder, None)
    built = Head(**head.settings)
    table = encoder.state_dict()["piece_embedding.weight"]
    built.load_state_dict({"output.weight": table, **head.tensors})
    return PaddedModel(encoder, built, head.reads)


def make_inputs(names: list[str], n_ids: int) -> tuple[Tensor, ...]:
    """A batch with padding: ids, mask and segments."""
    lengths, T = torch.tensor(LENGTHS), max(LENGTHS)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(n_ids, (len(LENGTHS), T), generator=generator)
    mask = (torch.arange(T) < lengths[:, None]).long()
    segments = ((torch.arange(T) > 1) & (mask > 0)).long()
    return (ids * mask, mask, segments)[: len(names)]


def save(model: PaddedModel, names: list[str], path: Path) -> None:
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    shapes = tuple({0: batch, 1: length} for _ in names)
    program: Any = torch.onnx.export(
        model,
        make_inputs(names, 4),
        input_names=names,
        output_names=["last_hidden_state" if model.head is None else "logits"],
        dynamic_shapes=shapes,
        dynamo=True,
        verbose=False,
    )
    program.save(str(path), external_data=False)


def quantise(source: Path, target: Path) -> None:
    """Round weights to 8 bits, one scale a column; their other factors are rounded as they come.

    With a reduced range sums stay exact on CPUs that add pairs of products in 16 bits.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        str(source),
        str(target),
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )


def compare(model: PaddedModel, names: list[str], folder: Path, n_ids: int) -> Differences:
    import onnxruntime

    inputs = make_inputs(names, n_ids)
    with torch.inference_mode():
        expected = model(*inputs).numpy()
    is_real = inputs[1].numpy() > 0 if expected.ndim == 3 else np.ones(len(expected), dtype=bool)
    given: dict[str, Any] = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
    found = []
    for name in (FLOATS, BYTES):
        session = onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])
        (values,) = session.run(None, given)
        found.append(float(np.abs(values - expected)[is_real].max()))
    return Differences(found[0], found[1], float(np.abs(expected[is_real]).max()))
