"""Does training start?

spaCy's own `init_nlp` is run on the sample, with the loaders, callbacks and vocabularies that the
config names.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

from spacy.tokens import DocBin
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import dot_to_object, load_config, set_dot_to_object

from ..thinc_model.embedder_shim import EmbedderShim
from .build_components import Plan, name_encoders
from .check_repeated_texts import Sample
from .findings import Finding, error, warning

CONFIG = "config.cfg"


def write_trial(plan: Plan, sample: Sample, batch: Sequence[Example], folder: Path) -> None:
    """Write the config into a folder, with the sample as both corpora, its largest batch first."""
    others = [eg for eg in sample.examples if not any(eg is one for one in batch)]
    docs = [eg.reference for eg in [*batch, *others]]
    DocBin(docs=docs, store_user_data=True).to_disk(folder / "sample.spacy")
    config = plan.config.copy()
    train, dev = plan.training["train_corpus"], plan.training["dev_corpus"]
    gold = bool(dot_to_object(config, train).get("gold_preproc", False))
    path = str(folder / "sample.spacy")
    reader = {"@readers": "spacy.Corpus.v1", "path": path, "gold_preproc": gold}
    for place in (train, dev):
        set_dot_to_object(config, place, reader)
    config.to_disk(folder / CONFIG)


def start_training(folder: Path) -> tuple[dict[str, EmbedderShim], list[Finding]]:
    """Initialise the pipeline of a trial. Returns its encoders by name; none where it fails."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            nlp = init_nlp(load_config(folder / CONFIG))
        except Exception as reason:  # loaders and callbacks may be anybody's
            advice = "Correct this first: without it pieces and memory cannot be examined."
            return {}, [error(f"Training would fail before its first step: {reason}", advice)]
    texts = dict.fromkeys(str(one.message) for one in caught)
    return name_encoders(nlp), [warning(text) for text in texts if text.startswith("[W")]
