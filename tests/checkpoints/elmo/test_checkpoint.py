"""Reading and writing the published format, against its fixtures and an independent reader."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from spacy_ctxemb.checkpoints.elmo.checkpoint import (
    ElmoModel,
    find_obstacles,
    read_elmo,
    write_elmo,
)
from spacy_ctxemb.checkpoints.elmo.hdf5_weights import write_weights as write_tensors
from spacy_ctxemb.encoders import BiLM
from spacy_ctxemb.encoders.registered_encoders import build_bilm as build_registered
from spacy_ctxemb.pieces.characters import CharacterPieces

from ...elmo_models import change_weights, to_json, write_json, write_model
from ...encoders.bilm_loop import Options, cell_name, run_sentence
from ...encoders.published_weights import (
    build_encoder,
    draw_weights,
    find_fixture,
    read_hdf5,
    read_options,
    set_weights,
)
from ...tiny import build_bilm, pad, randomise, unpack

FIXTURES = [".", "bilm_tf"]
WORDS = ["the", "longest", "of", "them", ",", "naïve", "日本語", "."]
NAMES = ("options.json", "weights.hdf5")

VARIANTS = [
    Options(),
    Options(activation="tanh", n_highways=0, n_layers=1),
    Options(filters=((2, 3),), n_highways=3, n_layers=3),
    Options(cell_clip=None, projection_clip=None, max_characters=12),
    Options(cell_clip=0.1, projection_clip=0.1),
    Options(skip_connections=False),
    Options(hidden_width=5),
    Options(hidden_width=5, project_hidden=True, projection_clip=0.1),
    Options(hidden_width=3),
    Options(width=15, hidden_width=20),
    Options(width=15, hidden_width=15, project_filters=True),
    Options(width=20),
]


def describe(options: Options) -> str:
    changes = options._asdict().items() - Options()._asdict().items()
    return ",".join(sorted(f"{name}={value}" for name, value in changes))


each_variant = pytest.mark.parametrize("options", VARIANTS, ids=describe)


def load(model: ElmoModel) -> BiLM:
    """The encoder of a model that was read."""
    encoder = BiLM(**model.settings)
    encoder.load_state_dict(model.tensors)
    return encoder.eval()


def encode(encoder: BiLM, texts: list[list[str]]) -> tuple[torch.Tensor, ...]:
    """All layers of some sentences, their boundaries included. (B, T, D) each"""
    pieces = CharacterPieces(encoder.n_characters or 0)
    begin, end = pieces.boundaries
    rows = [np.concatenate([begin[None], pieces.encode_words(t), end[None]]) for t in texts]
    ids, mask = pad([torch.from_numpy(row) for row in rows])
    with torch.inference_mode():
        return tuple(unpack(layer, mask) for layer in encoder(ids, mask))


@pytest.mark.parametrize("fixture", FIXTURES)
def test_layers_equal_the_published_ones(fixture: str) -> None:
    folder = find_fixture(fixture)
    encoder = load(read_elmo(folder / "options.json", folder / "lm_weights.hdf5"))
    name = "sentences.json" if fixture == "." else "lm_embeddings_sentences.json"
    streams = json.loads((folder / name).read_text(encoding="utf8"))
    texts = [stream[0].split() for stream in streams]
    top = encode(encoder, texts)[-1]
    for b, text in enumerate(texts):
        expected = np.concatenate(read_hdf5(folder / f"lm_embeddings_{b}.hdf5")["0"], axis=1)
        assert_allclose(top[b, 1 : 1 + len(text)], expected, rtol=1e-5, atol=1e-5)


def test_token_vectors_equal_the_published_ones() -> None:
    folder = find_fixture(".")
    encoder = load(read_elmo(folder / "options.json", folder / "lm_weights.hdf5"))
    words = (folder / "vocab_test.txt").read_text(encoding="utf8").split("\n")[:458]
    with torch.inference_mode():
        found = encoder.token_encoder(torch.from_numpy(CharacterPieces().encode_words(words)))
    expected = read_hdf5(folder / "elmo_token_embeddings.hdf5")["embedding"]
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fixture", FIXTURES)
def test_published_weights_are_written_as_they_were(fixture: str, tmp_path: Path) -> None:
    folder = find_fixture(fixture)
    write_elmo(load(read_elmo(folder / "options.json", folder / "lm_weights.hdf5")), tmp_path)
    before, after = read_hdf5(folder / "lm_weights.hdf5"), read_hdf5(tmp_path / "weights.hdf5")
    assert before.keys() == after.keys()
    for name, values in before.items():
        assert values.dtype == after[name].dtype and values.shape == after[name].shape
        assert values.tobytes() == after[name].tobytes(), name
    assert read_options(folder / "options.json") == read_options(tmp_path / "options.json")


@each_variant
def test_an_independent_reader_agrees_with_what_is_written(
    options: Options, tmp_path: Path
) -> None:
    encoder = randomise(build_encoder(options))
    write_elmo(encoder, tmp_path)
    assert read_options(tmp_path / "options.json") == options._replace(
        project_filters=None, project_hidden=None
    )
    pieces = CharacterPieces(options.max_characters)
    begin, end = pieces.boundaries
    ids = np.concatenate([begin[None], pieces.encode_words(WORDS), end[None]])
    expected = run_sentence(ids, read_hdf5(tmp_path / "weights.hdf5"), options)
    for a, b in zip(encode(encoder, [WORDS]), expected, strict=True):
        assert_allclose(a[0], b, rtol=1e-5, atol=1e-5)


@each_variant
def test_what_another_program_wrote_is_read(options: Options, tmp_path: Path) -> None:
    model = read_elmo(*write_model(tmp_path, options))
    expected = set_weights(build_encoder(options), draw_weights(options)).state_dict()
    assert model.tensors.keys() == expected.keys()
    assert all(torch.equal(model.tensors[name], expected[name]) for name in expected)
    assert json.loads(json.dumps(model.settings)) == model.settings
    registered = build_registered(**model.settings)
    assert {n: p.shape for n, p in registered.named_parameters()} == {
        n: tensor.shape for n, tensor in model.tensors.items()
    }


@st.composite
def encoders(draw: st.DrawFn) -> BiLM:
    """Any tiny biLM with random values."""
    width = draw(st.integers(1, 4))
    filters = draw(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1))
    hidden_width = draw(st.integers(1, 4))
    clips = st.none() | st.floats(0.01, 9.0)
    encoder = BiLM(
        width=2 * width,
        hidden_width=hidden_width,
        n_lstm_layers=draw(st.integers(1, 3)),
        filters=filters,
        character_width=draw(st.integers(1, 3)),
        max_characters=draw(st.integers(3, 60)),
        activation=draw(st.sampled_from(["relu", "tanh"])),
        n_highways=draw(st.integers(0, 2)),
        project_filters=draw(st.sampled_from([None, True])),
        project_hidden=draw(st.sampled_from([None, True])),
        cell_clip=draw(clips),
        projection_clip=draw(clips),
        skip_connections=draw(st.booleans()),
    )
    return randomise(encoder, seed=draw(st.integers(0, 99)))


@settings(max_examples=30)
@given(encoders())
def test_writing_reading_and_writing_again_gives_equal_bytes(encoder: BiLM) -> None:
    with TemporaryDirectory() as folder:
        first, second = Path(folder, "first"), Path(folder, "second")
        write_elmo(encoder, first)
        write_elmo(load(read_elmo(*(first / name for name in NAMES))), second)
        for name in NAMES:
            assert (first / name).read_bytes() == (second / name).read_bytes()


def test_values_survive_bit_by_bit(tmp_path: Path) -> None:
    """The forget gate's bias too, which would be rounded if 1 were added and taken away."""
    encoder = build_bilm()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter *= 1e-9
        encoder.token_encoder.embedding.weight[0] = 0.0
    write_elmo(encoder, tmp_path)
    model = read_elmo(*(tmp_path / name for name in NAMES))
    for name, values in encoder.state_dict().items():
        assert torch.equal(model.tensors[name], values), name


def read_changed(tmp_path: Path, changes: dict[str, Any], options: Options | None = None) -> Any:
    """Settings of a model whose options.json was changed; None removes a key."""
    files = write_model(tmp_path, options)
    data = json.loads(files.options.read_text())
    for path, value in changes.items():
        *parents, name = path.split(".")
        place = data
        for parent in parents:
            place = place[parent]
        if value is REMOVED:
            del place[name]
        else:
            place[name] = value
    write_json(files.options, data)
    return read_elmo(*files).settings


REMOVED = object()


@pytest.mark.parametrize(
    "key, value, setting, expected",
    [
        ("lstm.cell_clip", REMOVED, "cell_clip", None),
        ("lstm.cell_clip", None, "cell_clip", None),
        ("lstm.cell_clip", 0, "cell_clip", None),
        ("lstm.cell_clip", 2, "cell_clip", 2.0),
        ("lstm.proj_clip", REMOVED, "projection_clip", None),
        ("lstm.proj_clip", 0.0, "projection_clip", None),
        ("lstm.use_skip_connections", REMOVED, "skip_connections", False),
        ("lstm.bidirectional", True, "skip_connections", True),
        ("dropout", 0.1, "skip_connections", True),
    ],
)
def test_keys_that_may_be_absent_and_others(
    key: str, value: object, setting: str, expected: object, tmp_path: Path
) -> None:
    assert read_changed(tmp_path, {key: value})[setting] == expected


def test_no_highways_and_one_layer_by_default(tmp_path: Path) -> None:
    changes = {"char_cnn.n_highway": REMOVED, "lstm.n_layers": REMOVED}
    found = read_changed(tmp_path, changes, Options(n_highways=0, n_layers=1))
    assert (found["n_highways"], found["n_lstm_layers"]) == (0, 1)


def test_the_count_of_characters_that_training_writes(tmp_path: Path) -> None:
    message = r"\[W010\] In .*options\.json, .*n_characters is 261, .* changed to 262"
    with pytest.warns(UserWarning, match=message):
        found = read_changed(tmp_path, {"char_cnn.n_characters": 261})
    assert "n_characters" not in found


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4"])
def test_other_floating_point_formats(dtype: str, tmp_path: Path) -> None:
    files = write_model(tmp_path)
    weights = {n: v.astype(dtype) for n, v in draw_weights(Options()).items()}
    change_weights(files.weights, **weights)
    tensors = read_elmo(*files).tensors
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())
    expected = weights["CNN_proj/W_proj"].astype("f4").T
    assert np.array_equal(tensors["token_encoder.projection.weight"], expected)


def test_other_datasets_are_ignored(tmp_path: Path) -> None:
    files = write_model(tmp_path)
    change_weights(files.weights, **{"softmax/W": np.ones(3), "embedding": np.ones(3)})
    assert "softmax" not in str(read_elmo(*files).tensors.keys())


def test_an_encoder_in_half_precision_is_written_as_float32(tmp_path: Path) -> None:
    write_elmo(build_bilm().bfloat16(), tmp_path)
    assert {v.dtype for v in read_hdf5(tmp_path / "weights.hdf5").values()} == {np.dtype("f4")}


def test_weights_without_values(tmp_path: Path) -> None:
    with torch.device("meta"):
        encoder = BiLM(width=8, hidden_width=6, n_lstm_layers=1, filters=[(1, 3)])
    with pytest.raises(RuntimeError, match=r"\[E008\]"):
        write_elmo(encoder, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_values_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    encoder = build_bilm()
    with torch.no_grad():
        encoder.directions[1][1].bias[:2] = torch.nan
    name = cell_name(1, 1)
    with pytest.raises(ValueError, match=rf"\[E309\] In the encoder, {name}/B has 2 values"):
        write_elmo(encoder, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_elmo(build_bilm(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(tensors: Any, path: Path) -> None:
        write_tensors(tensors, path)
        raise OSError("disk full")

    monkeypatch.setattr("spacy_ctxemb.checkpoints.elmo.checkpoint.write_weights", fail)
    with pytest.raises(OSError, match="disk full"):
        write_elmo(randomise(build_bilm(), seed=1), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


P = {"max_characters": 50}


@pytest.mark.parametrize(
    "changes, allennlp, bilm_tf",
    [
        (P, [], []),
        (P | {"activation": "tanh", "n_highways": 0, "cell_clip": None}, [], []),
        ({"max_characters": 20}, ["max_characters is 20, not 50"], []),
        (P | {"skip_connections": False}, ["skip_connections is false"], []),
        (P | {"hidden_width": 4}, ["hidden_width is width / 2 (4), without a projection"], []),
        (
            P | {"hidden_width": 4, "project_hidden": True},
            [],
            ["hidden_width is width / 2 (4), with a projection"],
        ),
        (P | {"hidden_width": 3}, [], ["hidden_width is 3, less than width / 2 (4)"]),
        (
            P | {"filters": [(1, 4)]},
            ["the filters add up to width / 2 (4), without a projection"],
            [],
        ),
        (
            P | {"filters": [(1, 4)], "project_filters": True},
            [],
            ["the filters add up to width / 2 (4), with a projection"],
        ),
        (P | {"filters": [(1, 2)]}, [], ["the filters add up to 2, less than width / 2 (4)"]),
        (P | {"n_lstm_layers": 9}, [], ["n_lstm_layers is 9, more than 8"]),
    ],
)
def test_who_can_read_what_is_written(
    changes: dict[str, Any], allennlp: list[str], bilm_tf: list[str]
) -> None:
    assert find_obstacles(build_bilm(**changes)) == {"AllenNLP": allennlp, "bilm-tf": bilm_tf}


def test_options_are_written_with_every_key(tmp_path: Path) -> None:
    encoder = build_bilm(cell_clip=None, n_highways=0)
    write_elmo(encoder, tmp_path)
    options = Options(
        filters=((1, 3), (2, 4), (3, 5)),
        character_width=3,
        max_characters=7,
        n_highways=0,
        width=4,
        hidden_width=6,
        cell_clip=None,
    )
    assert json.loads((tmp_path / "options.json").read_text()) == to_json(options)
