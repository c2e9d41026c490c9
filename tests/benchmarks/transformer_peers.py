"""The contestants of transformer_speed.py: ways to turn texts into vectors, with one checkpoint.

Each runs in an environment of its own, so a class imports what it needs when it is built, and
this file nothing that only some of the environments have.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

Pooled = dict[str, list[Any]]

#: Documents in a batch, where a contestant does not choose itself.
BATCH = 32
#: Longest sequence, its two boundaries included, where a contestant cuts documents itself.
LENGTH = 512


class Contestant(ABC):
    """One way to turn texts into vectors.

    network: the PyTorch module that is called with padded batches of pieces.
    """

    network: Any = None

    @staticmethod  # noqa: B027 (most have nothing to write)
    def build(checkpoint: str, folder: str) -> None:
        """Write what `__init__` loads from, where that is not the checkpoint itself."""

    @abstractmethod
    def run(self, texts: Sequence[str]) -> None:
        """Compute vectors of texts and forget them."""

    @abstractmethod
    def pool(self, texts: Sequence[str]) -> Pooled:
        """Mean vectors of texts of one window, by their last layer.

        "all": over all pieces; "inner": without the boundaries; "pieces": their number.
        """


class Pipeline(Contestant):
    """A spaCy pipeline."""

    def __init__(self, folder: str, config: dict[str, Any] | None = None) -> None:
        import spacy

        self.nlp = spacy.load(folder, config=config or {})

    def run(self, texts: Sequence[str]) -> None:
        for _ in self.nlp.pipe(texts):
            pass


class Ctxemb(Pipeline):
    """The component `ctxemb`. Options: those of its model, such as its precision."""

    def __init__(self, folder: str, **options: Any) -> None:
        means = {"doc_pooling": "mean", "normalize": False}
        super().__init__(folder, {"components": {"ctxemb": {"model": options, **means}}})
        from spacy_ctxemb.thinc_model.embedder_shim import get_shim

        shim = get_shim(self.nlp.get_pipe("ctxemb").model)
        self.pieces, self.network = shim.pieces, shim.embedder.encoder

    @staticmethod
    def build(checkpoint: str, folder: str) -> None:
        run_command("import", "bert", checkpoint, folder)

    def pool(self, texts: Sequence[str]) -> Pooled:
        from spacy_ctxemb.windows.docs_to_pieces import read_texts

        docs = list(self.nlp.pipe(texts))
        numbers = self.pieces.encode(read_texts(docs)).document_lengths
        return {"all": [doc.vector for doc in docs], "pieces": numbers.tolist()}


class SpacyTransformers(Pipeline):
    """spacy-transformers with its default windows: 128 tokens, every 96 tokens."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.network = self.nlp.get_pipe("transformer").model.transformer

    @staticmethod
    def build(checkpoint: str, folder: str) -> None:
        import spacy

        nlp = spacy.blank("en")
        nlp.add_pipe("transformer", config={"model": {"name": checkpoint}})
        nlp.initialize()
        nlp.to_disk(folder)

    def pool(self, texts: Sequence[str]) -> Pooled:
        pooled: Pooled = {"all": [], "inner": [], "pieces": []}
        for doc in self.nlp.pipe(texts):
            data = doc._.trf_data
            mask = data.wordpieces.attention_mask.astype(bool)
            if len(mask) != 1:
                raise ValueError(f"{len(mask)} windows in a document that should have one.")
            add_means(pooled, data.model_output.last_hidden_state[0, : mask.shape[1]][mask[0]])
        return pooled


class Curated(Pipeline):
    """spacy-curated-transformers with its default windows: 128 pieces, every 96 pieces."""

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.network = self.nlp.get_pipe("transformer").model.get_ref("transformer").shims[0]._model

    @staticmethod
    def build(checkpoint: str, folder: str) -> None:
        import spacy

        config = json.loads((Path(checkpoint) / "config.json").read_text(encoding="utf8"))
        if config["model_type"] != "bert":
            raise ValueError(f"It is asked to load {config['model_type']} here, not bert.")
        registered = "spacy-curated-transformers"
        model = {
            "@architectures": f"{registered}.BertTransformer.v1",
            "piece_encoder": {"@architectures": f"{registered}.BertWordpieceEncoder.v1"},
            "with_spans": {"@architectures": f"{registered}.WithStridedSpans.v1"},
            "vocab_size": config["vocab_size"],
            "hidden_width": config["hidden_size"],
            "intermediate_width": config["intermediate_size"],
            "num_hidden_layers": config["num_hidden_layers"],
            "num_attention_heads": config["num_attention_heads"],
            "hidden_act": config["hidden_act"],
            "layer_norm_eps": config["layer_norm_eps"],
            "max_position_embeddings": config["max_position_embeddings"],
            "model_max_length": config["max_position_embeddings"],
            "type_vocab_size": config["type_vocab_size"],
            "padding_idx": config["pad_token_id"],
        }
        nlp = spacy.blank("en")
        nlp.add_pipe("curated_transformer", name="transformer", config={"model": model})
        loaders = {
            "encoder_loader": f"{registered}.HFTransformerEncoderLoader.v1",
            "piecer_loader": f"{registered}.HFPieceEncoderLoader.v1",
        }
        nlp.config["initialize"]["components"]["transformer"] = {
            key: {"@model_loaders": name, "name": checkpoint} for key, name in loaders.items()
        }
        nlp.initialize()
        nlp.to_disk(folder)

    def pool(self, texts: Sequence[str]) -> Pooled:
        pooled: Pooled = {"inner": [], "pieces": []}
        for doc in self.nlp.pipe(texts):
            vectors = doc._.trf_data.last_hidden_layer_state.dataXd
            pooled["inner"].append(vectors.mean(axis=0))
            pooled["pieces"].append(len(vectors))
        return pooled


class Transformers(Contestant):
    """transformers in a plain loop: padded batches in the order given, documents cut to fit."""

    def __init__(self, folder: str) -> None:
        from transformers import AutoModel, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.network = AutoModel.from_pretrained(folder).eval()

    def run(self, texts: Sequence[str]) -> None:
        for vectors, mask in self.encode(texts):
            (vectors * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)

    def pool(self, texts: Sequence[str]) -> Pooled:
        pooled: Pooled = {"all": [], "inner": [], "pieces": []}
        for vectors, mask in self.encode(texts):
            for row, real in zip(vectors, mask, strict=True):
                add_means(pooled, row[real.bool()].numpy())
        return pooled

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[Any, Any]]:
        """The last layer and the mask of each batch."""
        import torch

        encoded = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)
        begin, *_, end = self.tokenizer("")["input_ids"]
        step = LENGTH - 2
        parts = [
            [begin, *ids[i : i + step], end]
            for ids in encoded["input_ids"]
            for i in range(0, max(len(ids), 1), step)
        ]
        for i in range(0, len(parts), BATCH):
            batch = self.tokenizer.pad({"input_ids": parts[i : i + BATCH]}, return_tensors="pt")
            ids, mask = batch["input_ids"], batch["attention_mask"]
            with torch.inference_mode():
                yield self.network(ids, attention_mask=mask).last_hidden_state, mask


class SentenceTransformers(Contestant):
    """sentence-transformers, which sorts texts by length; long documents are cut beforehand."""

    def __init__(self, folder: str) -> None:
        from sentence_transformers import SentenceTransformer

        loaded = SentenceTransformer(folder, device="cpu")
        modules = [module for module in loaded if type(module).__name__ != "Normalize"]
        self.model = SentenceTransformer(modules=modules, device="cpu")
        self.model.max_seq_length = LENGTH
        self.network = self.model[0].auto_model
        self.cut: dict[str, list[str]] = {}

    def run(self, texts: Sequence[str]) -> None:
        parts = [part for text in texts for part in self.split(text)]
        self.model.encode(parts, batch_size=BATCH, show_progress_bar=False)

    def pool(self, texts: Sequence[str]) -> Pooled:
        vectors = self.model.encode(list(texts), batch_size=BATCH, show_progress_bar=False)
        return {"all": list(vectors)}

    def split(self, text: str) -> list[str]:
        """The parts of a text that fit; remembered, so that this takes no time once it is warm."""
        if text not in self.cut:
            offsets = self.model.tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )["offset_mapping"]
            starts = [begin for begin, _ in offsets[:: LENGTH - 2]]
            ends = [*starts[1:], len(text)]
            self.cut[text] = [text[i:j] for i, j in zip(starts, ends, strict=True)]
        return self.cut[text]


class Engine(Contestant):
    """A program that runs what `export onnx` writes, in padded batches sorted by length; documents
    are cut to fit.

    precision: "int8" takes the file in 8 bits. threads: OMP_NUM_THREADS, if they are not given.
    """

    def __init__(self, folder: str, precision: str = "fp32", threads: int | None = None) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
        self.tokenizer.no_truncation()
        name = "model_int8.onnx" if precision == "int8" else "model.onnx"
        self.load(f"{folder}/{name}", threads or int(os.environ["OMP_NUM_THREADS"]), precision)
        self.network = self

    @abstractmethod
    def load(self, path: str, n_threads: int, precision: str) -> None:
        """Set `compute`, from the inputs by name to the last layer, and `inputs`, their names."""

    @staticmethod
    def build(checkpoint: str, folder: str) -> None:
        with tempfile.TemporaryDirectory() as pipeline:
            run_command("import", "bert", checkpoint, f"{pipeline}/pipeline")
            run_command("export", "onnx", f"{pipeline}/pipeline", folder)

    def run(self, texts: Sequence[str]) -> None:
        for vectors, mask, _ in self.encode(texts):
            (vectors * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)

    def pool(self, texts: Sequence[str]) -> Pooled:
        found = [
            (place, row[: real.sum()])
            for vectors, mask, places in self.encode(texts)
            for row, real, place in zip(vectors, mask, places, strict=True)
        ]
        pooled: Pooled = {"all": [], "inner": [], "pieces": []}
        for _, rows in sorted(found, key=lambda pair: pair[0]):
            add_means(pooled, rows)
        return pooled

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[Any, Any, Any]]:
        """The last layer and the mask of each batch, and the places of its parts in the order of
        the texts."""
        begin, end = self.tokenizer.encode("").ids
        step = LENGTH - 2
        parts = [
            [begin, *ids[i : i + step], end]
            for ids in (
                one.ids for one in self.tokenizer.encode_batch(texts, add_special_tokens=False)
            )
            for i in range(0, max(len(ids), 1), step)
        ]
        order = sorted(range(len(parts)), key=lambda i: -len(parts[i]))
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            ids, mask = pad([parts[i] for i in places])
            yield self.forward(ids, mask), mask, places

    def forward(self, ids: Any, mask: Any) -> Any:
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * ids}
        return self.compute({name: given[name] for name in self.inputs})


class OnnxRuntime(Engine):
    def load(self, path: str, n_threads: int, precision: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = [given.name for given in session.get_inputs()]
        self.compute = lambda given: session.run(None, given)[0]


class OpenVino(Engine):
    """precision: also "bf16", in which it computes then."""

    def load(self, path: str, n_threads: int, precision: str) -> None:
        import openvino

        config = {
            "INFERENCE_NUM_THREADS": n_threads,
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        model = openvino.Core().compile_model(path, "CPU", config)
        self.inputs = [given.get_any_name() for given in model.inputs]
        self.compute = lambda given: model(given)[0]


class Limit:
    """What matrix products of 1,024 pieces reach, by a model's own shapes."""

    ROWS: ClassVar[int] = 1024

    def __init__(self, folder: str, shapes: Sequence[Sequence[int]]) -> None:
        self.shapes = shapes

    def measure(self) -> dict[str, float]:
        """GFLOP/s over all shapes, by the fastest routine for each."""
        import torch

        return {
            "fp32": self.measure_type(torch.float32),
            "bf16": self.measure_type(torch.bfloat16),
        }

    def measure_type(self, dtype: Any) -> float:
        import torch

        seconds, flop = 0.0, 0.0
        # oneDNN refuses bf16 on CPUs without instructions for it. (linear.has_bf16_products knows,
        # but this also runs in environments without the package.)
        has_onednn = dtype != torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        with torch.inference_mode():
            for n_in, n_out in self.shapes:
                x = torch.randn(self.ROWS, n_in).to(dtype)
                weight = torch.randn(n_out, n_in).to(dtype)
                bias = torch.randn(n_out).to(dtype)
                ways: list[Callable[[], Any]] = [lambda x=x, w=weight: torch.mm(x, w.T)]
                if has_onednn:
                    packed = torch.ops.mkldnn._reorder_linear_weight(weight, self.ROWS)
                    ways += [
                        lambda x=x, w=w, b=bias: torch.ops.mkldnn._linear_pointwise(
                            x, w, b, "none", [], ""
                        )
                        for w in (weight, packed)
                    ]
                seconds += min(take_time(way) for way in ways for _ in range(8))
                flop += 2 * self.ROWS * n_in * n_out
        return flop / seconds / 1e9


CONTESTANTS: dict[str, Any] = {
    "ctxemb": Ctxemb,
    "spacy-transformers": SpacyTransformers,
    "curated": Curated,
    "transformers": Transformers,
    "sentence-transformers": SentenceTransformers,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "limit": Limit,
}


def run_command(*arguments: str) -> None:
    """Run a command of this package; end with it where it fails."""
    command = [sys.executable, "-m", "spacy", "ctxemb", *arguments]
    done = subprocess.run(command, stdout=sys.stderr)
    if done.returncode:
        sys.exit(done.returncode)


def pad(parts: Sequence[Any]) -> tuple[Any, Any]:
    """A batch of some sequences of ids, and its mask, (B, T) each; zeros after the end."""
    import numpy as np

    lengths = np.array([len(part) for part in parts])
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    ids = np.zeros_like(mask)
    ids[mask > 0] = np.concatenate(parts)
    return ids, mask


def add_means(pooled: Pooled, vectors: Any) -> None:
    """vectors: (P, D), of all pieces."""
    pooled["all"].append(vectors.mean(axis=0))
    pooled["inner"].append(vectors[1:-1].mean(axis=0))
    pooled["pieces"].append(len(vectors) - 2)


def count_lengths(contestant: Any, texts: Sequence[str]) -> dict[str, Any]:
    """Run once. The lengths of the sequences that the network got; the steps it computed."""
    lengths: list[int] = []
    steps: list[int] = []

    network = contestant.network
    forward = network.forward

    def see(*args: Any, **kwargs: Any) -> Any:
        lengths.extend((find_mask(network, args, kwargs) > 0).sum(1).tolist())
        output = forward(*args, **kwargs)
        vectors = find_vectors(output)
        steps.append(math.prod(vectors.shape[:-1]))  # threads may do this at the same time
        return output

    network.forward = see  # not a hook: sentence-transformers calls this method itself
    try:
        contestant.run(texts)
    finally:
        del network.forward
    return {"lengths": lengths, "steps": sum(steps)}


def find_mask(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Which steps of a batch are real: (B, T). One contestant tells only by the ids."""
    mask = kwargs.get("attention_mask", kwargs.get("mask"))
    if mask is None and len(args) > 1:
        mask = args[1]
    if mask is not None:
        return mask
    ids = args[0] if args else kwargs["input_ids"]
    return ids != getattr(getattr(module, "curated_encoder", None), "padding_idx", -1)


def find_vectors(output: Any) -> Any:
    """The last layer of a batch, with padding where there is any: (..., D)."""
    if hasattr(output, "last_hidden_state"):
        return output.last_hidden_state
    if hasattr(output, "shape"):
        return output
    return getattr(output, "all_outputs", output)[-1]


def take_time(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
