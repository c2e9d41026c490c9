"""The component `ctxemb` on several encoders: what works for each of them, and what does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.util import load_model_from_config, registry
from thinc.api import Config

from spacy_ctxemb.stack.stack import get_members
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from ..bert_models import FAMILIES, read
from ..cli.command import run, run_well
from ..docs.excerpts import complete
from ..docs.pages import read_excerpt
from ..pipelines import (
    BILM,
    NER_DATA,
    TEXTS,
    WIDTH,
    blank,
    examples,
    initialised,
    inline_model,
    learn_by_heart,
    ner_config,
    update,
    vectors,
)
from ..pretraining import TEXT, pretrain, read_ner_config, start, tiny_config
from ..stacks import MEMBERS, STATIC, stack, stacked, with_vectors

CACHE = "spacy-ctxemb.FeatureCache.v1"


def get_encoder(nlp: Language, member: str) -> Any:
    return get_shim(get_members(nlp.get_pipe("ctxemb").model)[member])


# Settings of one encoder


@pytest.mark.parametrize(
    "setting, value",
    [
        ("keep", "layers"),
        ("boundaries", True),
        ("doc_pooling", "mean"),
        ("keep_pieces", True),
        ("keep_attention", True),
    ],
)
def test_what_needs_a_single_encoder(setting: str, value: Any) -> None:
    message = (
        rf"\[E044\] {setting} = {value} needs a single encoder, but 'ctxemb' is a "
        r"Stack of \['bert', 'elmo', 'static'\]\. Set it to"
    )
    with pytest.raises(ValueError, match=message):
        with_vectors().add_pipe("ctxemb", config={"model": stack(), setting: value})
    pipe = stacked(stack()).get_pipe("ctxemb")
    before = getattr(pipe, setting)
    with pytest.raises(ValueError, match=message):
        setattr(pipe, setting, value)
    assert getattr(pipe, setting) == before


def test_a_listener_that_mixes_layers() -> None:
    nlp = stacked(stack())
    tok2vec = {"@architectures": "spacy-ctxemb.LayerMixListener.v1", "width": 38}
    message = r"\[E044\] The LayerMixListener of 'ner' needs a single encoder.*Listener\.v1 there"
    with pytest.raises(ValueError, match=message):
        nlp.add_pipe("ner", config=ner_config(tok2vec))


def test_vectors_may_be_dropped_after_their_readers() -> None:
    tok2vec = {"@architectures": "spacy-ctxemb.Listener.v1", "width": 38, "grad_factor": 0.5}
    nlp = with_vectors()
    nlp.add_pipe("ctxemb", config={"model": stack(), "keep": "none"})
    nlp.add_pipe("ner", config=ner_config(tok2vec))
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    learn_by_heart(nlp, NER_DATA, "ents_f")
    assert nlp("two words").tensor.size == 0


# What there is of each


def test_counts_of_each_member() -> None:
    nlp = stacked(stack())
    pipe = nlp.get_pipe("ctxemb")
    before = pipe.encoder_counts()
    nlp("two words")
    found = {name: counts - before[name] for name, counts in pipe.encoder_counts().items()}
    assert found["ctxemb.elmo"]["tokens"] == found["ctxemb.bert"]["tokens"] == 2
    assert found["ctxemb.elmo"]["pieces"] == 2
    assert found["ctxemb.bert"]["pieces"] > 2
    assert list(found) == ["ctxemb.bert", "ctxemb.elmo"]
    every = pipe.encoder_counts().values()
    assert pipe.counts["pieces"] == sum(counts["pieces"] for counts in every)


def test_layer_weights_of_each_member() -> None:
    layer = {"@architectures": "spacy-ctxemb.Layer.v1"}
    mixing, other = {**MEMBERS["elmo"]}, {**MEMBERS["bert"], "mix": layer}
    nlp = stacked(stack({"elmo": mixing, "second": mixing, "bert": other, "static": STATIC}))
    weights = nlp.get_pipe("ctxemb").layer_weights()
    assert {name: len(found.shares) for name, found in weights.items()} == {
        "ctxemb.elmo": 3,
        "ctxemb.second": 3,
    }


def test_the_state_of_each_member_is_reset() -> None:
    encoder = {**BILM["encoder"], "stateful": True}
    members = {"a": inline_model({**BILM, "encoder": encoder}), "b": MEMBERS["bert"]}
    nlp = stacked(stack(members))
    first, second = nlp("two words").tensor, nlp("two words").tensor
    assert not np.allclose(first, second)
    nlp.get_pipe("ctxemb").reset_state()
    assert_allclose(nlp("two words").tensor, first, atol=1e-6)


# Cache


@pytest.mark.parametrize("settings", [{}, {"combine": "mix", "width": 20}])
def test_a_cache_holds_the_vectors_of_each_encoder(settings: dict[str, Any], tmp_path: Any) -> None:
    cache = {"@misc": CACHE, "path": str(tmp_path)}
    nlp = stacked(stack(**settings), cache=cache)
    plain = stacked(stack(**settings))
    pipe = nlp.get_pipe("ctxemb")
    first, expected = vectors(nlp), vectors(plain)
    again = vectors(nlp)
    for counts in pipe.encoder_counts().values():
        assert counts["cache_misses"] == counts["cache_hits"] == len(TEXTS)
        assert counts["documents"] == len(TEXTS)
    for a, b, c in zip(first, again, expected, strict=True):
        assert_array_equal(a, b)
        assert_allclose(a, c, atol=1e-5)
    with_labels = [(text, {"entities": []}) for text in TEXTS]
    with pytest.warns(UserWarning, match="W007"):
        pipe.update(examples(nlp, with_labels))  # trains without it
    assert pipe.encoder_counts()["ctxemb.elmo"]["cache_hits"] == len(TEXTS)
    assert pipe.predict([nlp.make_doc("")])[0].vectors.shape == (0, pipe.model.get_dim("nO"))


def test_a_cache_is_filled_ahead_of_training(tmp_path: Path) -> None:
    cache = {"@misc": CACHE, "path": str(tmp_path / "cache")}
    nlp = stacked(stack(), cache=cache)
    nlp.to_disk(tmp_path / "pipeline")
    docs = [nlp.make_doc(text) for text in TEXTS[:2]]
    DocBin(docs=docs).to_disk(tmp_path / "data.spacy")
    for hits, misses in ((0, 4), (4, 0)):  # of two encoders
        output = run_well("cache", tmp_path / "pipeline", tmp_path / "data.spacy")
        assert f"{hits} hits, {misses} misses" in output


def test_a_member_that_cannot_be_cached_goes_without() -> None:
    encoder = {**BILM["encoder"], "stateful": True}
    members = {"a": inline_model({**BILM, "encoder": encoder}), "b": MEMBERS["bert"]}
    nlp = stacked(stack(members))
    with pytest.warns(UserWarning, match=r"\[W005\] The cache of 'ctxemb.a' is not used"):
        nlp.get_pipe("ctxemb").cache = registry.resolve({"c": {"@misc": CACHE}})["c"]
    nlp("two words")
    nlp("two words")
    counts = nlp.get_pipe("ctxemb").encoder_counts()
    assert counts["ctxemb.b"]["cache_hits"] == 1
    assert "cache_hits" not in counts["ctxemb.a"]


# Loaders


def load_ones(encoder: Any, pieces: Any, section: str) -> dict[str, Any]:
    """An encoder_loader."""
    load_ones.section = section  # type: ignore[attr-defined] # looked at by a test
    return {
        name: value.new_ones(value.shape, device="cpu")
        for name, value in encoder.state_dict().items()
    }


def test_each_member_has_loaders_of_its_own() -> None:
    nlp = with_vectors()
    pipe = nlp.add_pipe("ctxemb", config={"model": stack()})
    seen = []
    pipe.initialize(
        lambda: examples(nlp, NER_DATA),
        nlp=nlp,
        member_loaders={
            "elmo": {"encoder_loader": load_ones},
            "bert": {"pieces_loader": lambda pieces, section: seen.append((pieces, section))},
        },
    )
    assert load_ones.section == "components.ctxemb.model.members.elmo"
    (((pieces, section)),) = seen
    assert section == "components.ctxemb.model.members.bert"
    assert pieces is get_encoder(nlp, "bert").pieces
    assert all((p == 1).all() for p in get_encoder(nlp, "elmo").embedder.encoder.parameters())
    assert not all((p == 1).all() for p in get_encoder(nlp, "bert").embedder.encoder.parameters())
    with pytest.warns(UserWarning, match=r"\[W003\].*'ctxemb'"):
        nlp.initialize(lambda: examples(nlp, NER_DATA))


@pytest.mark.parametrize(
    "settings, found",
    [
        ({"encoder_loader": load_ones}, "itself"),
        ({"member_loaders": {"gpt": {"encoder_loader": load_ones}}}, r"\{'gpt': \['encoder_l.*\}"),
        ({"member_loaders": {"static": {"encoder_loader": load_ones}}}, r"\{'static': .*\}"),
        ({"member_loaders": {"elmo": {"loader": load_ones}}}, r"\{'elmo': \['loader'\]\}"),
    ],
)
def test_loaders_at_the_wrong_place(settings: dict[str, Any], found: str) -> None:
    nlp = with_vectors()
    pipe = nlp.add_pipe("ctxemb", config={"model": stack()})
    message = rf"\[E045\] .* for {found}, its model has the encoders \['bert', 'elmo'\]\. .*NAME\]"
    with pytest.raises(ValueError, match=message):
        pipe.initialize(lambda: examples(nlp, NER_DATA), nlp=nlp, **settings)


def test_loaders_of_members_where_there_are_none() -> None:
    nlp = blank()
    loaders = {"elmo": {"encoder_loader": load_ones}}
    with pytest.raises(ValueError, match=r"\[E045\] .* for \['elmo'\], its model has a single"):
        nlp.get_pipe("ctxemb").initialize(lambda: examples(nlp, NER_DATA), member_loaders=loaders)


# Pretraining


def test_one_member_is_pretrained_and_loaded(tmp_path: Path) -> None:
    """With [pretraining] layer, both in `spacy pretrain` and for init_tok2vec."""
    config = tiny_config("bilm", tmp_path)
    member = config["components"]["ctxemb"]["model"]
    members = {"elmo": member, "bert": MEMBERS["bert"]}
    config["components"]["ctxemb"]["model"] = stack(members)
    config["pretraining"]["layer"] = "elmo"
    config["pretraining"]["max_epochs"] = 1
    pretrain(config, tmp_path / "out")
    config["initialize"]["init_tok2vec"] = str(tmp_path / "out" / "model-last.bin")
    nlp = load_model_from_config(config, auto_fill=True)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    alone = tiny_config("bilm", tmp_path)
    alone["initialize"]["init_tok2vec"] = config["initialize"]["init_tok2vec"]
    other = load_model_from_config(alone, auto_fill=True)
    other.initialize(lambda: examples(other, NER_DATA))
    assert_array_equal(nlp(TEXT[0]).tensor[:, 16:], other(TEXT[0]).tensor)


def test_a_stack_is_not_pretrained_as_a_whole(tmp_path: Path) -> None:
    config = tiny_config("bilm", tmp_path)
    members = {"elmo": config["components"]["ctxemb"]["model"]}
    config["components"]["ctxemb"]["model"] = stack(members)
    with pytest.raises(RuntimeError, match=r"\[E046\] A Stack of \['elmo'\] .*layer to one member"):
        start(config)


def test_weights_of_one_encoder_for_a_whole_stack(tmp_path: Path) -> None:
    stored = initialised()
    (tmp_path / "model.bin").write_bytes(stored.get_pipe("ctxemb").model.to_bytes())
    config = tiny_config("bilm", tmp_path)
    config["components"]["ctxemb"]["model"] = stack({"elmo": MEMBERS["elmo"]})
    config["initialize"]["init_tok2vec"] = str(tmp_path / "model.bin")
    nlp = load_model_from_config(config, auto_fill=True)
    with pytest.raises(ValueError, match=r"\[E046\] A Stack of \['elmo'\]"):
        nlp.initialize(lambda: examples(nlp, NER_DATA))


# Export


@pytest.mark.parametrize("kind", ["elmo", "bert"])
def test_an_encoder_of_a_stack_is_exported(kind: str, tmp_path: Path) -> None:
    stacked(stack()).to_disk(tmp_path / "one")
    run_well("export", kind, tmp_path / "one", tmp_path / "a")
    run_well("export", kind, tmp_path / "one", tmp_path / "b", "--component", f"ctxemb.{kind}")
    stacked(stack({**MEMBERS, "other": MEMBERS[kind]})).to_disk(tmp_path / "two")
    code, output = run("export", kind, tmp_path / "two", tmp_path / "c", "--component", "ctxemb")
    names = [f"ctxemb.{name}" for name in sorted([kind, "other"])]
    assert code == 1 and f"are {names}; exactly one" in output
    run_well("export", kind, tmp_path / "two", tmp_path / "c", "--component", "ctxemb.other")
    file = {"elmo": "weights.hdf5", "bert": "model.safetensors"}[kind]
    first, second, other = ((tmp_path / folder / file).read_bytes() for folder in "abc")
    assert first == second != other


# Excerpts of docs/


def test_the_excerpt_of_the_docs_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with_vectors().to_disk("vectors")
    whole = read_ner_config()
    ner = whole["components"]["ner"]
    del ner["model"]["tok2vec"]
    base = Config({"nlp": whole["nlp"], "components": {"ner": ner}})
    config = Config().from_str(f"{base.to_str()}\n{read_excerpt('several encoders')}")
    member = config["components"]["ctxemb"]["model"]["members"]["minilm"]
    sizes = read("bert").settings  # of a tiny model in place of MiniLM
    member["encoder"] |= {name: sizes[name] for name in member["encoder"] if name in sizes}
    member["pieces"]["vocab_size"] = sizes["vocab_size"]
    loaders = config["initialize"]["components"]["ctxemb"]["member_loaders"]
    loaders["minilm"]["encoder_loader"]["path"] = str(FAMILIES / "bert")
    nlp = load_model_from_config(config, auto_fill=True)
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    weights = get_encoder(nlp, "minilm").embedder.encoder.state_dict()
    assert weights["norm.bias"].equal(read("bert").tensors["norm.bias"])
    update(nlp, NER_DATA, 3)
    shares = nlp.get_pipe("ctxemb").member_weights()
    assert list(shares) == ["cnn", "minilm", "static"]
    assert len(set(shares.values())) == 3
    assert get_encoder(nlp, "minilm").pieces.n_trained == sizes["vocab_size"]
    assert nlp("two words").tensor.shape == (2, 128)


@pytest.mark.parametrize("is_frozen", [False, True])
@pytest.mark.parametrize("kind", ["spacy.Tok2VecListener.v1", "spacy-ctxemb.LayerMixListener.v1"])
def test_an_encoder_beside_a_network_of_the_task(
    kind: str, is_frozen: bool, tmp_path: Path
) -> None:
    excerpt = complete(read_excerpt("beside a network of the task"))
    config = Config().from_str(excerpt, interpolate=False)
    tok2vec = config["components"]["ner"]["model"]["tok2vec"]
    tok2vec["members"]["context"] |= {"@architectures": kind, "width": WIDTH}
    nlp = initialised(BILM)
    nlp.add_pipe("ner", config=ner_config(tok2vec))
    nlp.get_pipe("ner").initialize(lambda: examples(nlp, NER_DATA), nlp=nlp)
    before = vectors(nlp)[0]
    frozen = ["ctxemb"] if is_frozen else []
    optimizer = nlp.resume_training()
    for _ in range(30):
        nlp.update(examples(nlp, NER_DATA), sgd=optimizer, exclude=frozen, annotates=frozen)
    assert np.array_equal(before, vectors(nlp)[0]) == is_frozen
    assert nlp.evaluate(examples(nlp, NER_DATA))["ents_f"] == 1.0
    nlp.replace_listeners("ctxemb", "ner", ["model.tok2vec.members.context"])
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).evaluate(examples(nlp, NER_DATA))["ents_f"] == 1.0
