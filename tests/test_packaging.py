"""A trained pipeline as a wheel: built by `spacy package`, installed, loaded by its name."""

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import spacy
from spacy.util import get_package_version

from .pipelines import MODELS, NER_DATA, examples, with_ner

TEXTS = ["Ada Lovelace lives in Oslo.", "", "The river  bank, a 👩‍🚀 said."]

LOAD = """
import sys, numpy as np, spacy
nlp = spacy.load("en_tiny")
texts = sys.stdin.buffer.read().decode("utf8").split("\\n")
docs = list(nlp.pipe(texts))
np.savez(sys.argv[1], *(doc.tensor for doc in docs))
print(nlp.meta["name"], [[(ent.text, ent.label_) for ent in doc.ents] for doc in docs])
"""


def run(*arguments, **settings):
    """Python in a process of its own, which downloads nothing."""
    environment = {
        **os.environ,
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONIOENCODING": "utf8",
        **settings.pop("environment", {}),
    }
    command = [sys.executable, *map(str, arguments)]
    finished = subprocess.run(command, env=environment, capture_output=True, **settings)
    assert finished.returncode == 0, (finished.stdout + finished.stderr).decode()
    return finished.stdout.decode("utf8")


@pytest.fixture(params=MODELS)
def pipeline(request, tmp_path):
    """A directory with a pipeline that has learned a little."""
    nlp = with_ner(MODELS[request.param])
    optimizer = nlp.resume_training()
    for _ in range(20):
        nlp.update(examples(nlp, NER_DATA), sgd=optimizer)
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


@pytest.mark.slow
def test_an_installed_pipeline_gives_the_same_vectors(pipeline, tmp_path):
    pytest.importorskip("setuptools", reason="builds the wheel where nothing can be downloaded")
    options = ["--name", "tiny", "--version", "1.2.3", "--build", "wheel"]
    packages, site = tmp_path / "packages", tmp_path / "site"
    packages.mkdir()
    run("-m", "spacy", "package", pipeline, packages, *options)
    (wheel,) = packages.glob("en_tiny-1.2.3/dist/*.whl")

    version = get_package_version("spacy-ctxemb")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read("en_tiny-1.2.3.dist-info/METADATA").decode()
    assert any(name.endswith("ctxemb/model/encoder.safetensors") for name in names)
    assert f"Requires-Dist: spacy-ctxemb<0.2.0,>={version}" in metadata

    run("-m", "pip", "install", "--no-deps", "--target", site, wheel)
    arrays = tmp_path / "vectors.npz"
    printed = run(
        *("-c", LOAD, arrays),
        input="\n".join(TEXTS).encode("utf8"),
        environment={"PYTHONPATH": str(site)},
        cwd=tmp_path,
    )
    docs = list(spacy.load(pipeline).pipe(TEXTS))
    entities = [[(ent.text, ent.label_) for ent in doc.ents] for doc in docs]
    assert printed.strip() == f"tiny {entities}"
    found = np.load(arrays)
    assert len(found.files) == len(TEXTS)
    for name, doc in zip(found.files, docs, strict=True):
        assert found[name].dtype == doc.tensor.dtype
        assert np.array_equal(found[name], doc.tensor)
