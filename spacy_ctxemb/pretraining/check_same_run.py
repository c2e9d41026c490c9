"""Whether a run may go on: with the config, the text and the pieces that it was begun with."""

import json
from pathlib import Path
from typing import Any

from spacy.util import load_config
from thinc.api import Config

from ..errors import Errors
from ..objectives import Objective
from ..pieces.base import Pieces
from .settings import SECTION
from .text.token_store import TokenStore, compute_digest, digest_arrays, read_digest, write_json

#: Digests of what checkpoints of a run depend on besides its config.
BASIS = "basis.json"
TEXT = "the text to learn from"

#: What may differ between a run and its continuation.
MAY_CHANGE = {
    *("max_steps", "eval_every", "checkpoint_every", "keep_checkpoints", "learn_rate"),
    *("neighbours", "n_workers", "tensorboard", "wandb_project", "compile", "parallel"),
    *("grad_clip", "accumulate", "held_out"),
}


def validate_config(config: Config, output: Path, *, resume: bool) -> None:
    """Raise E459 if a run would be written over, E460 if it would go on with another config."""
    if not resume:
        raise ValueError(Errors.E459.format(path=output))
    before = load_config(output / "config.cfg", interpolate=True)
    now = config.interpolate()
    names = [name for name in ("nlp", "components") if before.get(name) != now.get(name)]
    sections = [leave_out_path(config.get(SECTION, {})) for config in (before, now)]
    changed = {
        name
        for name in {**sections[0], **sections[1]}
        if sections[0].get(name) != sections[1].get(name)
    }
    names += [f"{SECTION}.{name}" for name in sorted(changed - MAY_CHANGE)]
    if names:
        raise ValueError(Errors.E460.format(path=output / "config.cfg", names=names))


def leave_out_path(section: dict[str, Any]) -> dict[str, Any]:
    """Leave out where the text is: its contents are compared, in BASIS."""
    train = section.get("train")
    if not isinstance(train, dict):
        return section
    return {**section, "train": {key: value for key, value in train.items() if key != "path"}}


def validate_basis(
    store: TokenStore, pieces: Pieces, objective: Objective, output: Path, *, continues: bool
) -> None:
    """Raise E461 for other types, pieces or targets: rows of weights would change places.

    store: of the text to learn from. output: the run's folder, where this is noted at the
    beginning. continues: whether there are checkpoints.
    """
    now = {
        TEXT: read_digest(store.folder),
        "the pieces": compute_digest(pieces.to_json()),
        "what the objective predicts": compute_digest(objective.to_json()),
    }
    if continues and (output / BASIS).exists():
        compare(now, output)
    else:
        write_json(output / BASIS, now)


def validate_text(folder: Path, output: Path) -> None:
    """Raise E461 for another text before it replaces that of a run. folder: of its new store."""
    if (output / BASIS).exists():
        compare({TEXT: digest_arrays(folder)}, output)


def compare(now: dict[str, str], output: Path) -> None:
    """Raise E461 for digests that differ from those that a run was begun with."""
    before = json.loads((output / BASIS).read_text(encoding="utf8"))
    changed = [name for name, digest in now.items() if before.get(name) != digest]
    if changed:
        raise ValueError(Errors.E461.format(path=output, changed=", ".join(changed)))
