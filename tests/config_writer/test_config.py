"""Every choice makes a config that is complete and valid, and that trains."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.cli.debug_config import debug_config
from spacy.cli.init_config import fill_config
from spacy.cli.train import train
from spacy.util import load_config
from thinc.api import Config, fix_random_seed

from spacy_ctxemb.config_writer.choices import NEW_ENCODERS, Choices, Optimize
from spacy_ctxemb.config_writer.config import build_config
from spacy_ctxemb.config_writer.heads import HEADS
from spacy_ctxemb.config_writer.training import Weights, find_peak, is_slow
from spacy_ctxemb.doctor.build_parts import read_plan
from spacy_ctxemb.doctor.which_learning_rate import check_learning_rate
from spacy_ctxemb.thinc_model.model import get_shim

from ..annotated import write_corpus
from ..pipelines import BILM, TRANSFORMER, initialised
from ..stacks import MEMBERS, stack, stacked

ENCODERS = ("english", "bilm", "transformer", "bilm pipeline", "transformer pipeline")
ALL = [name for name in HEADS if name != "textcat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, and a pipeline with each encoder."""
    folder = tmp_path_factory.mktemp("quickstart")
    write_corpus(folder, limit=40)
    for name, model in (("bilm", BILM), ("transformer", TRANSFORMER)):
        initialised(model).to_disk(folder / f"{name} pipeline")
    return folder


def choose(folder: Path, encoder: str, **changes: Any) -> Choices:
    settings: dict[str, Any] = {
        "tasks": ["ner"],
        "encoder": str(folder / encoder) if "pipeline" in encoder else encoder,
        "optimize": Optimize.efficiency,
        "freeze": False,
    }
    return Choices(**settings | changes)


def overrides(folder: Path) -> dict[str, str]:
    return {f"paths.{part}": str(folder / f"{part}.spacy") for part in ("train", "dev")}


def check_valid(config: Config, folder: Path, tmp_path: Path, output: Any) -> None:
    """As spaCy itself fills and checks configs."""
    config.to_disk(tmp_path / "config.cfg")
    debug_config(tmp_path / "config.cfg", overrides=overrides(folder))
    assert "Config is valid" in output.readouterr().out
    fill_config(tmp_path / "again.cfg", tmp_path / "config.cfg", silent=True)
    assert (tmp_path / "again.cfg").read_text() == (tmp_path / "config.cfg").read_text()


WAYS = [*product(ENCODERS, [False, True], Optimize)]


@pytest.mark.parametrize("encoder, freeze, optimize", WAYS)
def test_what_is_chosen(encoder: str, freeze: bool, optimize: Optimize, folder: Path) -> None:
    """Building a config fills it, builds the pipeline, and checks every setting."""
    choices = choose(folder, encoder, tasks=ALL, freeze=freeze, optimize=optimize)
    config = build_config(choices).config.interpolate()
    components, training = config["components"], config["training"]
    assert config["nlp"]["pipeline"] == ["ctxemb", *ALL]
    mixes = optimize is Optimize.accuracy
    has_cnn = mixes and freeze
    for task in ALL:
        assert components[task]["factory"] == task
        listener = components[task]["model"]["tok2vec"]
        if has_cnn:
            assert listener["@architectures"] == "spacy-ctxemb.Stack.v1"
            members = listener["members"]
            assert members["cnn"]["@architectures"] == "spacy.HashEmbedCNN.v2"
            listener = members["context"]
        assert ("LayerMixListener" in listener["@architectures"]) == mixes
        assert listener["upstream"] == "ctxemb"
        sourced = "pipeline" in encoder
        width = 16 if sourced else components["ctxemb"]["model"]["encoder"]["width"]
        assert listener["width"] == width
    frozen = ["ctxemb"] if freeze else []
    assert training["frozen_components"] == training["annotating_components"] == frozen
    rate = training["optimizer"]["learn_rate"]
    if freeze:
        assert rate == (0.001 if has_cnn else 0.005)
    else:
        assert rate["total_steps"] == training["max_steps"]


@pytest.mark.slow
@pytest.mark.parametrize("encoder, freeze, optimize", WAYS)
@pytest.mark.parametrize("task", HEADS)
def test_each_task_alone(
    task: str,
    encoder: str,
    freeze: bool,
    optimize: Optimize,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    choices = choose(folder, encoder, tasks=[task], freeze=freeze, optimize=optimize)
    check_valid(build_config(choices).config, folder, tmp_path, capsys)


def write_weights(config: Config, folder: Path) -> str:
    """What pretraining might have made of the encoder of a config."""
    section = config.interpolate()["components"]["ctxemb"]
    nlp = spacy.blank("en")
    component = nlp.add_pipe("ctxemb", config={"model": section["model"]})
    shim = get_shim(component.model)  # type: ignore[attr-defined] # a PipeCallable
    fix_random_seed(0)
    shim.materialise()
    if shim.pieces.is_learned:
        shim.pieces.train([["Ada Lovelace lives in Oslo."]])  # type: ignore[attr-defined] # WordPieces
    path = folder / "weights.bin"
    path.write_bytes(component.model.to_bytes())  # type: ignore[attr-defined] # a PipeCallable
    return str(path)


#: Every task, encoder, and way to train one, and pairs of the latter.
COVERING = [
    (["ner"], "bilm", False, "efficiency"),
    (["ner", "textcat"], "english", True, "efficiency"),
    (["tagger"], "english", False, "accuracy"),
    (["textcat", "tagger"], "bilm", True, "accuracy"),
    (["spancat", "senter"], "transformer", False, "accuracy"),
    (["textcat_multilabel"], "transformer", True, "efficiency"),
    (["parser", "morphologizer"], "bilm pipeline", False, "accuracy"),
    (["ner", "textcat"], "bilm pipeline", True, "efficiency"),
    (["spancat", "parser"], "transformer pipeline", False, "efficiency"),
    (ALL, "transformer pipeline", True, "accuracy"),
]


@pytest.mark.parametrize("tasks, encoder, freeze, optimize", COVERING, ids=str)
def test_two_steps_of_training(
    tasks: list[str],
    encoder: str,
    freeze: bool,
    optimize: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    choices = choose(
        folder, encoder, tasks=tasks, freeze=freeze, optimize=Optimize(optimize), cache=freeze
    )
    written = build_config(choices)
    assert written.needs_weights == (freeze and encoder in NEW_ENCODERS)
    settings: dict[str, Any] = {
        **overrides(folder),
        "paths.log": str(tmp_path / "log.jsonl"),
        "training.max_steps": 2,
        "training.eval_frequency": 2,
    }
    if written.needs_weights:
        settings["paths.init_tok2vec"] = write_weights(written.config, tmp_path)
    check_valid(written.config, folder, tmp_path, capsys)
    train(tmp_path / "config.cfg", tmp_path / "out", overrides=settings)
    assert [row["step"] for row in srsly.read_jsonl(tmp_path / "log.jsonl")] == [0, 2]
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert nlp.pipe_names == ["ctxemb", *tasks]
    doc = nlp("Ada Lovelace lives in Oslo.")
    assert all(doc.cats.values()) == any("textcat" in task for task in tasks) or not doc.cats


def test_a_frozen_encoder_has_a_cache_for_training_alone(folder: Path) -> None:
    def read(**changes: Any) -> Any:
        choices = choose(folder, "bilm pipeline", **changes)
        return build_config(choices).config["initialize"]["before_init"]

    assert read(freeze=True)["@callbacks"] == "spacy-ctxemb.UseCache.v1"
    assert read(freeze=True, optimize=Optimize.accuracy) is None
    assert read(freeze=True, optimize=Optimize.accuracy, cache=True)["component"] == "ctxemb"
    assert read(freeze=True, cache=False) is read() is None


def test_a_network_beside_the_encoder_is_a_choice(folder: Path) -> None:
    def read(**changes: Any) -> str:
        choices = choose(folder, "bilm pipeline", **changes)
        model = build_config(choices).config["components"]["ner"]["model"]
        kind: str = model["tok2vec"]["@architectures"]
        return kind

    assert read(freeze=True, cnn=True) == "spacy-ctxemb.Stack.v1"
    assert read(freeze=True) == "spacy.Tok2VecListener.v1"
    assert "Mix" in read(freeze=True, optimize=Optimize.accuracy, cnn=False)
    with pytest.raises(ValueError, match=r"E089\].*beside a frozen encoder\. Add --freeze"):
        read(cnn=True)


def test_what_a_cache_cannot_hold(folder: Path, tmp_path: Path) -> None:
    initialised(TRANSFORMER_MEAN, doc_pooling="mean").to_disk(tmp_path / "sentences pipeline")
    written = build_config(choose(tmp_path, "sentences pipeline", freeze=True))
    assert "doc_pooling" in (written.obstacle or "")
    assert written.config["initialize"]["before_init"] is None


TRANSFORMER_MEAN = {**TRANSFORMER, "mix": {"@architectures": "spacy-ctxemb.Layer.v1"}}


def test_the_settings_of_a_pipeline_are_kept(tmp_path: Path) -> None:
    """Another language, another name, and vectors of another width than the layers."""
    nlp = spacy.blank("pt")
    nlp.add_pipe("ctxemb", name="words", config={"model": {**BILM, "width": 10}})
    nlp.initialize()
    nlp.to_disk(tmp_path / "own pipeline")
    config = build_config(choose(tmp_path, "own pipeline", freeze=True)).config
    assert config["nlp"]["lang"] == "pt" and config["nlp"]["pipeline"] == ["words", "ner"]
    assert config["components"]["words"] == {"source": str(tmp_path / "own pipeline")}
    assert config["training"]["frozen_components"] == ["words"]
    assert config["components"]["ner"]["model"]["tok2vec"]["width"] == 10
    mixed = choose(tmp_path, "own pipeline", listener_mix=True, lang="pt")
    listener = build_config(mixed).config["components"]["ner"]["model"]["tok2vec"]
    assert (listener["width"], listener["upstream"]) == (16, "words")


def test_a_gpu_and_vectors(folder: Path) -> None:
    config = build_config(choose(folder, "bilm", gpu=True, vectors="en_vectors")).config
    assert config["system"]["gpu_allocator"] == "pytorch"
    assert config["training"]["batcher"]["size"] == 500
    assert config.interpolate()["initialize"]["vectors"] == "en_vectors"


def test_rates_depend_on_the_encoder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_peak(encoder: str) -> float:
        config = build_config(choose(folder, encoder)).config
        return float(config["training"]["optimizer"]["learn_rate"]["initial_rate"])

    assert find_peak("transformer") == 1e-3
    assert find_peak("bilm") == 1e-3
    assert find_peak("english") == find_peak("bilm pipeline") == 5e-4
    assert find_peak("transformer pipeline") == 1e-4
    monkeypatch.setattr("spacy_ctxemb.config_writer.training.LARGE", 100)
    assert find_peak("transformer pipeline") == 5e-5
    assert find_peak("bilm pipeline") == 5e-4


def test_an_encoder_with_a_rate_of_its_own(tmp_path: Path) -> None:
    """What it learns at is the same, and the heads learn faster."""
    initialised({**TRANSFORMER, "learn_rate_factor": 0.2}).to_disk(tmp_path / "pipeline")
    config = build_config(choose(tmp_path, "pipeline")).config
    assert config["training"]["optimizer"]["learn_rate"]["initial_rate"] == pytest.approx(5e-4)
    choices = choose(tmp_path, "pipeline")
    assert find_peak(choices, Weights(10**8, True, learn_rate_factor=0.01)) == 1e-3
    assert is_slow(Weights(10**8, True)) and not is_slow(Weights(10**8, True, 0.01))


def test_doctor_agrees_with_the_rates(folder: Path) -> None:
    for encoder in ("english", "bilm pipeline", "transformer pipeline"):
        plan = read_plan(build_config(choose(folder, encoder)).config)
        found = list(check_learning_rate(plan, plan.training["max_steps"]))
        assert {one.level.value for one in found} == {"ok"}, found


def test_long_documents_are_read_whole(folder: Path) -> None:
    readers = build_config(choose(folder, "bilm")).config.interpolate()["corpora"]
    assert readers["train"]["max_length"] == readers["dev"]["max_length"] == 0


def test_static_vectors_of_a_pipeline(folder: Path, tmp_path: Path) -> None:
    """Without them a Stack with StaticVectors could not be trained (E134)."""
    members = {"elmo": MEMBERS["elmo"], "static": MEMBERS["static"]}
    stacked(stack(members)).to_disk(tmp_path / "stack pipeline")
    config = build_config(choose(tmp_path, "stack pipeline", freeze=True)).config
    assert config.interpolate()["initialize"]["vectors"] == str(tmp_path / "stack pipeline")
    own = build_config(choose(tmp_path, "stack pipeline", vectors="en_vectors")).config
    assert own["paths"]["vectors"] == "en_vectors"
    assert build_config(choose(folder, "bilm pipeline")).config["paths"]["vectors"] is None
    config.to_disk(tmp_path / "config.cfg")
    settings = {**overrides(folder), "training.max_steps": 2, "training.eval_frequency": 2}
    train(tmp_path / "config.cfg", tmp_path / "out", overrides=settings)
    assert spacy.load(tmp_path / "out" / "model-last").pipe_names == ["ctxemb", "ner"]


@pytest.mark.parametrize("encoder, other", [("bilm", "bilm"), ("transformer", "mlm")])
def test_the_small_encoders_are_those_of_the_configs(
    encoder: str, other: str, folder: Path
) -> None:
    """So that what is pretrained with these configs fits."""
    configs = Path(__file__).parents[2] / "configs"
    found = build_config(choose(folder, encoder)).config.interpolate()["components"]["ctxemb"]
    expected = load_config(configs / f"pretrain_{other}.cfg").interpolate()["components"]["ctxemb"]
    for part in ("encoder", "pieces", "mix"):
        settings = expected["model"][part]
        assert {key: found["model"][part][key] for key in settings} == settings
