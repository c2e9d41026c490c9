"""Every choice makes a config that is complete and valid, and that trains."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
import torch
from spacy.cli.debug_config import debug_config
from spacy.cli.init_config import fill_config
from spacy.cli.train import train
from spacy.util import load_config, load_model_from_config
from thinc.api import Config, fix_random_seed

from spacy_ctxemb.config_writer import recipes
from spacy_ctxemb.config_writer.check_options import HEADS, TASKS, WRITE_CATS, Optimize
from spacy_ctxemb.config_writer.encoder_source import NEW_ENCODERS
from spacy_ctxemb.config_writer.recipes import Recipe
from spacy_ctxemb.doctor.build_components import read_plan
from spacy_ctxemb.doctor.check_learning_rate import check_learning_rate, read_rates
from spacy_ctxemb.pretrained import load_weights
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..bert_models import find_minilm
from ..pipelines import BILM, NER_DATA, examples
from ..stacks import MEMBERS, stack, stacked
from .conftest import ALL, Build

ENCODERS = ("english", "bilm", "transformer", "bilm pipeline", "transformer pipeline")


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
def test_what_is_chosen(
    encoder: str, freeze: bool, optimize: Optimize, folder: Path, build: Build
) -> None:
    """Building a config fills it, builds the pipeline, and checks every setting."""
    config = build(encoder, freeze=freeze, optimize=optimize).interpolate()
    components, training = config["components"], config["training"]
    assert config["nlp"]["pipeline"] == ["ctxemb", *ALL]
    mixes = optimize is Optimize.accuracy
    has_cnn = mixes and freeze
    is_transformer = encoder in ("english", "transformer pipeline")
    for task in ALL:
        listener = components[task]["model"]["tok2vec"]
        if is_transformer and not freeze and task in HEADS:
            assert components[task]["factory"] == HEADS[task]["factory"]
            assert listener["@architectures"] == "spacy-ctxemb.PieceStatesListener.v1"
            assert listener["upstream"] == "ctxemb"
            continue
        assert components[task]["factory"] == task
        if has_cnn:
            assert listener["@architectures"] == "spacy-ctxemb.Stack.v1"
            members = listener["members"]
            assert members["cnn"]["@architectures"] == "spacy.HashEmbedCNN.v2"
            listener = members["context"]
        elif freeze:
            encode, listener = listener["encode"], listener["embed"]
            assert encode["@architectures"] == "spacy.MaxoutWindowEncoder.v2"
            assert encode["width"] == listener["width"]
        labels_tokens = is_transformer and task not in WRITE_CATS
        assert ("LayerMixListener" in listener["@architectures"]) == (mixes or labels_tokens)
        assert listener["upstream"] == "ctxemb"
        sourced = "pipeline" in encoder
        width = 16 if sourced else components["ctxemb"]["model"]["encoder"]["width"]
        assert listener["width"] == width
    frozen = ["ctxemb"] if freeze else []
    assert training["frozen_components"] == training["annotating_components"] == frozen
    rate = training["optimizer"]["learn_rate"]
    if freeze:
        assert rate == recipes.FROZEN_RATE
    else:
        assert (rate["total_steps"], rate["warmup_share"]) == (training["max_steps"], 0.05)


@pytest.mark.parametrize(
    "encoder, choices, reads",
    [
        ("english", {"freeze": True}, {"first", "max", "mean"}),
        ("english", {"freeze": True, "cnn": True}, {"mean"}),
        ("english", {"freeze": True, "optimize": "accuracy"}, {"mean"}),
        ("english", {"freeze": False}, {"mean"}),
        ("transformer pipeline", {"freeze": True}, {"mean"}),
    ],
)
def test_what_is_read_of_texts(
    encoder: str, choices: dict[str, Any], reads: set[str], build: Build
) -> None:
    """Their first vectors too, on frozen English weights without a network beside them."""
    config = build(encoder, tasks=("ner", "textcat"), head=False, **choices)
    model = config["components"]["textcat"]["model"]
    assert model["@architectures"] == "spacy-ctxemb.TextCatReduce.v1"
    found = {name for name in ("first", "last", "max", "mean") if model[f"use_reduce_{name}"]}
    assert found == reads


@pytest.mark.parametrize(
    "tasks, choices, rate",
    [
        (("ner",), {}, recipes.FROZEN_RATE),
        (("ner", "qa"), {}, recipes.FROZEN_RATE),
        (("qa",), {}, recipes.ENGLISH.head_rate),
        (("ner", "textcat"), {"head": True}, recipes.ENGLISH.head_rate),
        (("ner", "tagger"), {"head": True}, recipes.FROZEN_RATE),
    ],
)
def test_rates_on_a_frozen_encoder(
    tasks: tuple[str, ...], choices: dict[str, Any], rate: float, draft: Build
) -> None:
    """Heads bear more than what has layers of its own."""
    config = draft("english", tasks=tasks, freeze=True, **choices)
    assert config["training"]["optimizer"]["learn_rate"] == rate


def test_english_begins_with_the_weights_that_ship(build: Build) -> None:
    """However it is trained: the component is the same, but for how its encoder learns."""
    ways = product([False, True], Optimize)
    configs = [build("english", freeze=freeze, optimize=optimize) for freeze, optimize in ways]
    components = [config["components"]["ctxemb"] for config in configs]
    learning = {"learn_rate_factor": 1.0, "freeze_layers": 0}
    alike = [{**one, "model": {**one["model"], **learning}} for one in components]
    assert all(one == alike[0] for one in alike)
    nlp = load_model_from_config(configs[0])
    with nlp.select_pipes(enable="ctxemb"):
        nlp.initialize(lambda: examples(nlp, NER_DATA))
        nlp("Ada Lovelace lives in Oslo.")  # weights are read when they are needed
    found = get_shim(nlp.get_pipe("ctxemb").model).embedder.encoder.state_dict()
    expected = load_weights("en_transformer_sm")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.slow
@pytest.mark.parametrize("encoder, freeze, optimize", WAYS)
@pytest.mark.parametrize("task", [task for task in TASKS if task != "qa"])
def test_each_task_alone(
    task: str,
    encoder: str,
    freeze: bool,
    optimize: Optimize,
    folder: Path,
    build: Build,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = build(encoder, tasks=(task,), freeze=freeze, optimize=optimize)
    check_valid(config, folder, tmp_path, capsys)


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
    (("ner",), "bilm", False, "efficiency"),
    (("ner", "textcat"), "english", True, "efficiency"),
    (("tagger",), "english", False, "accuracy"),
    (("textcat", "tagger"), "bilm", True, "accuracy"),
    (("spancat", "senter"), "transformer", False, "accuracy"),
    (("textcat_multilabel",), "transformer", True, "efficiency"),
    (("parser", "morphologizer"), "bilm pipeline", False, "accuracy"),
    (("ner", "textcat"), "bilm pipeline", True, "efficiency"),
    (("spancat", "parser"), "transformer pipeline", False, "efficiency"),
    (ALL, "transformer pipeline", True, "accuracy"),
]


@pytest.mark.parametrize("tasks, encoder, freeze, optimize", COVERING, ids=str)
def test_two_steps_of_training(
    tasks: tuple[str, ...],
    encoder: str,
    freeze: bool,
    optimize: str,
    folder: Path,
    build: Build,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = build(encoder, tasks=tasks, freeze=freeze, optimize=optimize, cache=freeze)
    settings: dict[str, Any] = {
        **overrides(folder),
        "paths.log": str(tmp_path / "log.jsonl"),
        "training.max_steps": 2,
        "training.eval_frequency": 2,
        "corpora.dev.limit": 10,
    }
    if freeze and encoder in NEW_ENCODERS:
        settings["paths.init_tok2vec"] = write_weights(config, tmp_path)
    check_valid(config, folder, tmp_path, capsys)
    train(tmp_path / "config.cfg", tmp_path / "out", overrides=settings)
    assert [row["step"] for row in srsly.read_jsonl(tmp_path / "log.jsonl")] == [0, 2]
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert nlp.pipe_names == ["ctxemb", *tasks]
    doc = nlp("Ada Lovelace lives in Oslo.")
    assert all(doc.cats.values()) == any("textcat" in task for task in tasks) or not doc.cats


def test_a_frozen_encoder_has_a_cache_for_training_alone(draft: Build) -> None:
    def read(**changes: Any) -> Any:
        return draft("bilm pipeline", **changes).get("initialize", {}).get("before_init")

    assert read(freeze=True)["@callbacks"] == "spacy-ctxemb.UseCache.v1"
    assert read(freeze=True, optimize="accuracy") is None
    assert read(freeze=True, optimize="accuracy", cache=True)["component"] == "ctxemb"
    assert read(freeze=True, cache=False) is None
    assert read()["@callbacks"] == "spacy-ctxemb.UseRates.v1"


def test_a_network_beside_the_encoder_is_a_choice(draft: Build) -> None:
    def read(**changes: Any) -> Any:
        model = draft("bilm pipeline", freeze=True, **changes)["components"]["ner"]["model"]
        tok2vec = model["tok2vec"]
        return [one["@architectures"] for one in (tok2vec, tok2vec.get("embed")) if one]

    assert read(cnn=True) == ["spacy-ctxemb.Stack.v1"]
    assert read() == ["spacy.Tok2Vec.v2", "spacy.Tok2VecListener.v1"]
    mixed = ["spacy.Tok2Vec.v2", "spacy-ctxemb.LayerMixListener.v1"]
    assert read(optimize="accuracy", cnn=False) == mixed


def test_the_settings_of_a_pipeline_are_kept(tmp_path: Path, draft: Build, build: Build) -> None:
    """Another language, another name, and vectors of another width than the layers."""
    nlp = spacy.blank("pt")
    nlp.add_pipe("ctxemb", name="words", config={"model": {**BILM, "width": 10}})
    nlp.initialize()
    path = str(tmp_path / "own pipeline")
    nlp.to_disk(path)
    config = build(path, tasks=("ner",), freeze=True)
    assert config["nlp"]["lang"] == "pt" and config["nlp"]["pipeline"] == ["words", "ner"]
    assert config["components"]["words"] == {"source": path}
    assert config["training"]["frozen_components"] == ["words"]
    tok2vec = config["components"]["ner"]["model"]["tok2vec"]
    assert tok2vec["embed"]["width"] == tok2vec["encode"]["width"] == 10
    mixed = draft(path, listener_mix=True, lang="pt")["components"]["ner"]["model"]["tok2vec"]
    assert (mixed["width"], mixed["upstream"]) == (16, "words")


def test_a_gpu_and_vectors(build: Build) -> None:
    config = build("bilm", tasks=("ner",), gpu=True, vectors="en_vectors")
    assert config["system"]["gpu_allocator"] == "pytorch"
    assert config["training"]["batcher"]["size"] == 500
    assert config.interpolate()["initialize"]["vectors"] == "en_vectors"


def test_batches_are_larger_where_the_encoder_does_not_learn(build: Build) -> None:
    for options, size in (({"freeze": True}, 500), ({"freeze": True, "cnn": True}, 500), ({}, 200)):
        config = build("english", tasks=("ner",), **options)
        assert config["training"]["batcher"]["size"] == size


def test_rates_of_encoders_that_learn(draft: Build) -> None:
    """New heads learn at one rate, and an encoder with weights at its own."""

    def find(encoder: str, optimize: str = "efficiency") -> tuple[float, float]:
        config = draft(encoder, optimize=optimize)
        rate = config["training"]["optimizer"]["learn_rate"]["initial_rate"]
        callback = config.get("initialize", {}).get("before_init", {})
        model = config["components"]["ctxemb"].get("model", {})
        factor = callback.get("learn_rate_factor", model.get("learn_rate_factor", 1.0))
        return rate, pytest.approx(rate * factor)

    def expect(recipe: Recipe) -> tuple[float, float]:
        return recipe.head_rate, recipe.encoder_rate

    assert find("bilm") == find("transformer") == (1e-3, 1e-3)
    assert find("bilm", "accuracy") == find("transformer", "accuracy") == (5e-4, 5e-4)
    assert find("english") == expect(recipes.ENGLISH)
    assert find("bilm pipeline") == expect(recipes.BILM)
    assert find("transformer pipeline") == expect(recipes.TRANSFORMER)
    assert find("minilm") == expect(recipes.MINILM)


def test_steps_on_the_command_line_carry_the_schedule_along(build: Build, tmp_path: Path) -> None:
    path = tmp_path / "config.cfg"
    build("english", tasks=("ner",)).to_disk(path)
    config = load_config(path, overrides={"training.max_steps": 100}).interpolate()
    rates = read_rates(config["training"]["optimizer"], 101)
    assert rates.index(max(rates)) == 5 and rates[100] == 0.0 < rates[99]
    nlp = load_model_from_config(load_config(path))
    assert nlp.create_optimizer().learn_rate == 0.0  # nothing fills in variables there


def test_minilm_trains_at_once(
    folder: Path, tmp_path: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tokens are labelled by a mix of its layers, and texts by its last one."""
    find_minilm()
    config = build("minilm", tasks=("ner", "textcat"), freeze=True)
    model = config["components"]["ner"]["model"]["tok2vec"]
    assert model["embed"]["@architectures"] == "spacy-ctxemb.LayerMixListener.v1"
    model = config["components"]["textcat"]["model"]["tok2vec"]
    assert model["embed"]["@architectures"] == "spacy.Tok2VecListener.v1"
    assert config["components"]["ctxemb"]["doc_pooling"] is None  # which the cache cannot hold
    check_valid(config, folder, tmp_path, capsys)
    settings = {**overrides(folder), "training.max_steps": 2, "training.eval_frequency": 2}
    settings["corpora.dev.limit"] = settings["corpora.train.limit"] = 10
    train(tmp_path / "config.cfg", tmp_path / "out", overrides=settings)
    assert spacy.load(tmp_path / "out" / "model-last")("Ada lives.").tensor.shape == (3, 384)


def test_doctor_agrees_with_the_rates(build: Build) -> None:
    for encoder in ("english", "minilm", "bilm pipeline", "transformer pipeline"):
        plan = read_plan(build(encoder))
        found = list(check_learning_rate(plan, plan.training["max_steps"]))
        assert {one.level.value for one in found} == {"ok"}, found


def test_long_documents_are_read_whole(build: Build) -> None:
    """A max_length would leave them out, or split them and lose their categories."""
    readers = build("bilm").interpolate()["corpora"]
    assert readers["train"]["max_length"] == readers["dev"]["max_length"] == 0


def test_static_vectors_of_a_pipeline(folder: Path, tmp_path: Path, build: Build) -> None:
    """Without them a Stack with StaticVectors could not be trained (E047)."""
    members = {"elmo": MEMBERS["elmo"], "static": MEMBERS["static"]}
    path = str(tmp_path / "stack pipeline")
    stacked(stack(members)).to_disk(path)
    config = build(path, tasks=("ner",), freeze=True)
    assert config.interpolate()["initialize"]["vectors"] == path
    config.to_disk(tmp_path / "config.cfg")
    settings = {**overrides(folder), "training.max_steps": 2, "training.eval_frequency": 2}
    train(tmp_path / "config.cfg", tmp_path / "out", overrides=settings)
    assert spacy.load(tmp_path / "out" / "model-last").pipe_names == ["ctxemb", "ner"]


def test_vectors_of_the_user_come_first(tmp_path: Path, draft: Build) -> None:
    path = str(tmp_path / "stack pipeline")
    stacked(stack()).to_disk(path)
    assert draft(path)["paths"]["vectors"] == path
    assert draft(path, vectors="en_vectors")["paths"]["vectors"] == "en_vectors"
    assert draft("bilm pipeline")["paths"]["vectors"] is None


def test_several_encoders_have_no_mix_of_layers(tmp_path: Path, draft: Build) -> None:
    path = str(tmp_path / "stack pipeline")
    stacked(stack()).to_disk(path)
    config = draft(path, optimize="accuracy", freeze=True, cnn=False)
    expected = {"@architectures": "spacy.Tok2VecListener.v1", "width": 38, "upstream": "ctxemb"}
    assert config["components"]["ner"]["model"]["tok2vec"]["embed"] == expected
    with pytest.raises(ValueError, match=r"\[E509\] 'ctxemb' of .* has several encoders"):
        draft(path, listener_mix=True)


@pytest.mark.parametrize("encoder, other", [("bilm", "bilm"), ("transformer", "mlm")])
def test_the_small_encoders_are_those_of_the_configs(
    encoder: str, other: str, build: Build
) -> None:
    """So that what is pretrained with these configs fits."""
    configs = Path(__file__).parents[2] / "configs"
    found = build(encoder).interpolate()["components"]["ctxemb"]
    expected = load_config(configs / f"pretrain_{other}.cfg").interpolate()["components"]["ctxemb"]
    for part in ("encoder", "pieces", "mix"):
        settings = expected["model"][part]
        assert {key: found["model"][part][key] for key in settings} == settings
