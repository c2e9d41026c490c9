"""The digest of a pipeline's encoder: the same where vectors are, and only there."""

from pathlib import Path
from typing import Any

import pytest
import spacy

from spacy_ctxemb.bulk.encoder_digest import digest_encoder

from ..pipelines import BILM, initialised
from ..search.index_of_few import build_pipeline


def test_it_survives_the_disk(tmp_path: Path) -> None:
    nlp = build_pipeline()
    nlp.to_disk(tmp_path)
    assert digest_encoder(spacy.load(tmp_path)) == digest_encoder(nlp) == digest_encoder(nlp)


def test_components_beside_the_encoder_do_not_count() -> None:
    nlp = build_pipeline()
    before = digest_encoder(nlp)
    nlp.remove_pipe("sentencizer")
    nlp.rename_pipe("ctxemb", "other")
    assert digest_encoder(nlp) == before


@pytest.mark.parametrize(
    "settings", [{"seed": 1}, {"doc_pooling": "max"}, {"model": BILM}, {"stride": 10}]
)
def test_what_changes_vectors_changes_it(settings: dict[str, Any]) -> None:
    nlp = build_pipeline()
    before = digest_encoder(nlp)
    if "doc_pooling" in settings:
        nlp.get_pipe("ctxemb").doc_pooling = "max"  # type: ignore[attr-defined]
        found = digest_encoder(nlp)
    elif "model" in settings:
        found = digest_encoder(initialised(BILM))
    elif "stride" in settings:
        from ..pipelines import TRANSFORMER

        found = digest_encoder(initialised({**TRANSFORMER, "stride": 10}))
    else:
        found = digest_encoder(build_pipeline(**settings))
    assert found != before and len(found) == len(before) == 32
