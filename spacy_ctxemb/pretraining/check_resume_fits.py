"""Whether a run may go on: with the config, the text and the pieces that it was begun with."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from thinc.api import Config

from ..errors import Errors
from ..objectives import Objective
from ..pieces.base import Pieces
from .pretrain_section import SECTION
from .text.token_store import TokenStore, compute_digest, digest_arrays, read_meta

TEXT = "the text to learn from"

#: What may differ between a run and its continuation.
MAY_CHANGE = {
    *("max_steps", "eval_every", "checkpoint_every", "keep_checkpoints", "learn_rate"),
    *("neighbours", "n_workers", "tensorboard", "wandb_project", "compile", "parallel"),
    *("grad_clip", "accumulate", "held_out"),
}


class Basis(NamedTuple):
    """What a run is begun with. config: its values by name, but for MAY_CHANGE and the places of
    text and teacher. digests: of what its checkpoints depend on besides."""

    config: dict[str, Any]
    digests: dict[str, str]


def describe_config(config: Config) -> dict[str, Any]:
    values = config.interpolate()
    section = dict(values[SECTION])
    for name, place in (("train", "path"), ("objective", "teacher")):  # contents are compared
        if isinstance(section.get(name), dict):
            section[name] = {k: value for k, value in section[name].items() if k != place}
    pretrain = {f"{SECTION}.{k}": v for k, v in section.items() if k not in MAY_CHANGE}
    return {"nlp": values["nlp"], "components": values["components"], **pretrain}


def describe_run(config: Config, store: TokenStore, pieces: Pieces, objective: Objective) -> Basis:
    """Describe what a run begins with. store: of the text to learn from."""
    digests = {
        TEXT: read_meta(store.folder)["digest"],
        "the pieces": compute_digest(pieces.to_json()),
        "what the objective predicts": compute_digest(objective.to_json()),
    }
    return Basis(describe_config(config), digests)


def validate_config(config: Config, before: Basis, output: Path, *, resume: bool) -> None:
    """Raise E459 if a run would be written over, E461 if it would go on with another config."""
    if not resume:
        raise ValueError(Errors.E459.format(path=output, names="checkpoints"))
    now = json.loads(json.dumps(describe_config(config)))
    names = [name for name in {**now, **before.config} if now.get(name) != before.config.get(name)]
    if names:
        raise ValueError(Errors.E461.format(path=output, changed=f"the settings {sorted(names)}"))


def validate_digests(before: Basis, now: dict[str, str], output: Path) -> None:
    """Raise E461 for digests that differ: rows of weights would change places."""
    changed = [name for name, digest in now.items() if before.digests.get(name) != digest]
    if changed:
        raise ValueError(Errors.E461.format(path=output, changed=", ".join(changed)))


def validate_text(folder: Path, before: Basis, output: Path) -> None:
    """Raise E461 for another text before it replaces that of a run. folder: of its new store."""
    validate_digests(before, {TEXT: digest_arrays(folder)}, output)
