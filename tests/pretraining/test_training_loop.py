import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from spacy.util import load_config
from thinc.api import Config

from spacy_ctxemb.encoders.basic_layers import FeedForward
from spacy_ctxemb.pretraining.build_pipeline_and_task import build_pipeline
from spacy_ctxemb.pretraining.distributed import gather_state
from spacy_ctxemb.pretraining.plot_log import plot_log
from spacy_ctxemb.pretraining.pretrain_section import PretrainSettings, read_settings
from spacy_ctxemb.pretraining.run_from_config import pretrain
from spacy_ctxemb.pretraining.save_and_resume import is_whole, list_checkpoints
from spacy_ctxemb.pretraining.training_loop import MAX_SKIPPED, Report, Trainer, summarise
from spacy_ctxemb.read_files import compute_checksum
from spacy_ctxemb.thinc_model.embedder_shim import get_shim

from .runs import (
    build_trainer,
    read_state,
    read_weights,
    tiny_masked_lm_run,
    tiny_run,
    write_documents,
)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_documents(tmp_path)


class Run(NamedTuple):
    """A run of two steps, and the text that it has read."""

    text: Path
    output: Path


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained once; a test that changes it copies it first."""
    folder = tmp_path_factory.mktemp("shared")
    found = Run(write_documents(folder), folder / "run")
    found.output.mkdir()
    pretrain(tiny_run(found.text, pretrain__max_steps=2), found.output, resume=False)
    return found


@pytest.fixture
def finished(shared_run: Run, tmp_path: Path) -> Run:
    return Run(shared_run.text, shutil.copytree(shared_run.output, tmp_path / "run"))


@pytest.fixture(scope="module")
def longer_run(shared_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of four steps on the same text, never interrupted."""
    output = tmp_path_factory.mktemp("longer")
    pretrain(tiny_run(shared_run.text, pretrain__max_steps=4), output, resume=False)
    return Run(shared_run.text, output)


@pytest.fixture(scope="module")
def shared_trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A trainer at its beginning, for tests that change nothing in it."""
    folder = tmp_path_factory.mktemp("trainer")
    return build_trainer(tiny_run(write_documents(folder)), folder)


def test_a_resumed_run_is_bit_equal(text: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    reports: dict[str, list[Report]] = {"whole": [], "parts": []}
    config = tiny_run(text, pretrain__max_steps=7)
    trainer = build_trainer(config, whole)
    trainer.run(reports["whole"].append)
    for _ in range(2):
        # Interrupted after step 3; its last checkpoint is of step 2.
        resumed = build_trainer(config, parts)
        assert resumed.resume() == []
        if resumed.progress.steps == 0:
            interrupt(resumed, reports["parts"], after=3)
    assert resumed.progress.steps == 2
    resumed.run(reports["parts"].append)
    for name, value in read_state(trainer).items():
        assert torch.equal(value, read_state(resumed)[name]), name
    expected = [report.losses for report in reports["whole"]]
    assert [report.losses for report in reports["parts"]] == [*expected[:3], *expected[2:]]
    assert resumed.progress == trainer.progress


def interrupt(trainer: Trainer, reports: list[Report], after: int) -> None:
    class Interruption(Exception):
        pass

    def on_step(report: Report) -> None:
        reports.append(report)
        if report.step == after:
            raise Interruption

    with pytest.raises(Interruption):
        trainer.run(on_step)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler")
# The compiler meets warnings of PyTorch itself.
@pytest.mark.filterwarnings("default")
def test_compiled_layers_compute_the_same(text: Path, tmp_path: Path) -> None:
    changes = {"pretrain__max_steps": 3, "pretrain__eval_every": 3}
    reports: dict[bool, list[Report]] = {False: [], True: []}
    scores, names = [], []
    for is_compiled, seen in reports.items():
        config = tiny_masked_lm_run(text, pretrain__compile=is_compiled, **changes)
        trainer = build_trainer(config, tmp_path / str(is_compiled))
        trainer.run(seen.append)
        scores.append(trainer.evaluate())
        names.append(list(gather_state(trainer.module)))
    for plain, compiled in zip(reports[False], reports[True], strict=True):
        assert compiled.losses == pytest.approx(plain.losses, rel=1e-5)
    assert scores[1] == pytest.approx(scores[0], rel=1e-5)
    assert names[0] == names[1]


def test_a_bilm_is_not_compiled(text: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="E455.*Set compile to false"):
        pretrain(tiny_run(text, pretrain__compile=True), tmp_path / "a", resume=False)
    assert not (tmp_path / "a").exists()  # nothing was tokenised


@pytest.mark.filterwarnings("default")  # PyTorch's compiler meets warnings of PyTorch itself
def test_compiled_layers_take_any_number_of_rows() -> None:
    """In evaluation, too, where rows are many; each version takes half a minute to compile."""
    layer, graphs = FeedForward(4, 8, "gelu"), []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(layer, backend=count, dynamic=True)
    with torch.no_grad():
        for n in (300, 1500, 2500, 3500, 4500):
            torch.testing.assert_close(compiled(torch.ones(n, 4)), layer(torch.ones(n, 4)))
    assert len(graphs) == 1


def test_accumulation_adds_shards(text: Path, tmp_path: Path) -> None:
    """The mean of the gradients of two shards, each of which has a stream of its own."""
    config = tiny_run(text, pretrain__accumulate=2, components__ctxemb__model__dropout=0.0)
    trainer = build_trainer(config, tmp_path / "a")
    gradients = []
    for i in range(2):
        other = build_trainer(config, tmp_path / "a")
        other.shards = other.shards[i : i + 1]
        other.backpropagate(other.shards[0].stream.next_batch(0), other.shards[0], 0)
        gradients.append([p.grad.clone() for p in other.module.parameters()])
    captured: list[torch.Tensor] = []
    trainer.change_weights = lambda: (
        captured.extend(  # type: ignore[method-assign]
            p.grad.clone() for p in trainer.module.parameters()
        )
        or 0.0
    )
    trainer.take_step(0)
    for found, first, second in zip(captured, *gradients, strict=True):
        torch.testing.assert_close(found, (first + second) / 2, rtol=1e-5, atol=1e-7)


def test_sentences_begin_at_zero(text: Path, tmp_path: Path) -> None:
    """So a sentence is read in a stream as it is in a pipeline."""
    trainer = build_trainer(tiny_run(text, pretrain__objective__n_rows=1), tmp_path / "a")
    trainer.module.eval()
    shard = trainer.shards[0]
    carried = {name: torch.randn_like(value) for name, value in shard.carried.items()}
    batch = shard.stream.next_batch(0)
    batch = {
        name: tensor[:, :4] if name != "characters" else tensor for name, tensor in batch.items()
    }
    assert batch["begins"].tolist() == [[True, False, False, False]] * 2

    @torch.no_grad()
    def score(start: dict[str, torch.Tensor]) -> float:
        return float(trainer.module(batch, start).losses.nll["forward"])

    from_zero = score(shard.carried)
    assert score(carried) == pytest.approx(from_zero)
    batch["begins"][:] = False
    assert score(carried) != pytest.approx(from_zero)


def test_states_are_carried(text: Path, tmp_path: Path) -> None:
    trainer = build_trainer(tiny_run(text), tmp_path / "a")
    assert not trainer.shards[0].carried["h"].any()
    trainer.take_step(0)
    assert trainer.shards[0].carried["h"].any()
    assert not trainer.shards[0].carried["h"].requires_grad


def test_training_lowers_held_out_perplexity(text: Path, tmp_path: Path) -> None:
    config = tiny_run(
        text,
        pretrain__max_steps=150,
        pretrain__eval_every=150,
        pretrain__checkpoint_every=150,
        pretrain__learn_rate__initial_rate=0.03,
    )
    trainer = build_trainer(config, tmp_path / "a")
    before = trainer.evaluate()
    trainer.run()
    after = trainer.evaluate()
    vocabulary = len(trainer.task.objective.vocabulary)  # type: ignore[union-attr]
    assert before["perplexity"] == pytest.approx(vocabulary, rel=0.5)
    assert after["perplexity"] < 0.5 * before["perplexity"]
    assert after["perplexity"] == pytest.approx(
        math.sqrt(after["perplexity_forward"] * after["perplexity_backward"])
    )


def test_evaluation_does_not_depend_on_the_number_of_processes(shared_trainer: Trainer) -> None:
    task = shared_trainer.task
    task.eval()
    whole = task.evaluate(0, 1)
    parts = [task.evaluate(rank, 3) for rank in range(3)]
    for name, (nll, n) in whole.items():
        assert sum(part[name][1] for part in parts) == n
        np.testing.assert_allclose(sum(part[name][0] for part in parts), nll, rtol=1e-5)


def test_a_step_that_is_not_finite_is_skipped(text: Path, tmp_path: Path) -> None:
    trainer = build_trainer(tiny_run(text), tmp_path / "a")
    trainer.take_step(0)
    before = read_state(trainer)
    with torch.no_grad():
        trainer.shards[0].carried["c"].fill_(torch.nan)
    _, norm, _ = trainer.take_step(1)
    assert not math.isfinite(norm)
    assert trainer.n_skipped == 1
    assert all(torch.equal(value, before[name]) for name, value in read_state(trainer).items())


def test_a_skipped_step_leaves_no_state(text: Path, tmp_path: Path) -> None:
    """A state that is not finite would never be finite again."""
    trainer = build_trainer(tiny_run(text), tmp_path / "a")
    trainer.take_step(0)
    before = trainer.shards[0].carried
    trainer.change_weights = lambda: math.nan  # type: ignore[method-assign]
    trainer.take_step(1)
    assert trainer.shards[0].carried is before


def test_training_stops_where_no_step_is_finite(text: Path, tmp_path: Path) -> None:
    trainer = build_trainer(tiny_run(text, pretrain__max_steps=50), tmp_path / "a")
    with torch.no_grad():
        next(iter(trainer.module.parameters())).fill_(torch.nan)
    with pytest.raises(RuntimeError, match=rf"E464.*of {MAX_SKIPPED} steps, the last one step 9"):
        trainer.run()


def damage(checkpoint: Path) -> None:
    """Change one bit."""
    file = checkpoint / "state.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_damaged_checkpoints_are_passed_over(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_run(text, pretrain__max_steps=4)
    output = tmp_path / "run"
    output.mkdir()
    pretrain(config, output, resume=True)
    assert f"no checkpoint in {output / 'checkpoints'}: begins anew" in capsys.readouterr().out
    weights = (output / "model-last.bin").read_bytes()
    last = sorted((output / "checkpoints").iterdir())[-1]
    assert last.name == "step-00000004"
    damage(last)
    pretrain(config, output, resume=True)
    assert "step-00000004 is damaged" in capsys.readouterr().out
    assert (output / "model-last.bin").read_bytes() == weights


def test_bf16_where_it_is_slower(
    text: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for precision, is_supported in (("bf16", False), ("bf16", True), ("fp32", False)):
        monkeypatch.setattr(
            "spacy_ctxemb.pretraining.run_from_config.has_bf16_products",
            lambda found=is_supported: found,
        )
        config = tiny_run(text, pretrain__max_steps=1, pretrain__precision=precision)
        output = tmp_path / f"{precision}-{is_supported}"
        output.mkdir()
        pretrain(config, output, resume=False)
        is_told = "[W012] precision is 'bf16', but PyTorch has no fast" in capsys.readouterr().out
        assert is_told == (precision == "bf16" and not is_supported)
        pretrain(config, output, resume=True)  # which keeps its precision
        assert "W012" not in capsys.readouterr().out


def test_what_damage_is(finished: Run) -> None:
    path = finished.output / "checkpoints" / "step-00000002"
    (path / ".DS_Store").touch()
    assert is_whole(path)  # what others have put there is no part of it
    (path / "progress.json").unlink()
    assert not is_whole(path)
    (path / "progress.json").mkdir()  # an error when it is read
    assert not is_whole(path)


def test_damaged_checkpoints_are_never_kept_in_place_of_new_ones(
    text: Path, tmp_path: Path
) -> None:
    build_trainer(tiny_run(text, pretrain__max_steps=6), tmp_path).run()
    folder = tmp_path / "checkpoints"
    damage(folder / "step-00000006")
    config = tiny_run(text, pretrain__max_steps=5, pretrain__checkpoint_every=5)
    trainer = build_trainer(config, tmp_path)
    assert trainer.resume() == ["step-00000006"]
    trainer.run()
    assert sorted(path.name for path in folder.iterdir()) == [
        *("damaged-step-00000006", "step-00000004", "step-00000005")
    ]


def test_training_never_begins_anew_over_damaged_checkpoints(text: Path, tmp_path: Path) -> None:
    trainer = build_trainer(tiny_run(text, pretrain__max_steps=4), tmp_path)
    trainer.run()
    for path in list_checkpoints(trainer.checkpoints.folder):
        damage(path)
    message = r"E463.*\['step-00000004', 'step-00000002'\]. Delete this folder"
    with pytest.raises(ValueError, match=message):
        trainer.resume()
    assert len(list_checkpoints(trainer.checkpoints.folder)) == 2


def test_the_checkpoint_just_written_is_never_dropped(text: Path, tmp_path: Path) -> None:
    trainer = build_trainer(tiny_run(text), tmp_path)
    for name in ("step-00000007", "step-00000008"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    path = trainer.checkpoints.save(
        trainer.progress, trainer.module, trainer.optimizer, trainer.shards
    )
    assert is_whole(path)


def test_only_the_last_checkpoints_are_kept(text: Path, tmp_path: Path) -> None:
    config = tiny_run(text, pretrain__max_steps=9)
    build_trainer(config, tmp_path / "a").run()
    names = [path.name for path in sorted((tmp_path / "a" / "checkpoints").iterdir())]
    assert names == ["step-00000008", "step-00000009"]


def test_the_pipeline_of_a_run_has_no_dropout(text: Path, tmp_path: Path) -> None:
    changes = {"pretrain__neighbours": ["bank"], "components__ctxemb__model__dropout": 0.5}
    nlp = pretrain(tiny_run(text, pretrain__max_steps=1, **changes), tmp_path, resume=False)
    assert nlp is not None
    first, second = (nlp("She stood on the steep bank.").tensor for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_run_is_not_written_over(shared_run: Run) -> None:
    config = tiny_run(shared_run.text, pretrain__max_steps=2)
    with pytest.raises(ValueError, match="E459.*Add --resume"):
        pretrain(config, shared_run.output, resume=False)


def test_a_run_goes_on_with_its_own_settings_only(finished: Run) -> None:
    text, output = finished
    other = {"pretrain__grad_clip": 0.1, "pretrain__learn_rate__initial_rate": 1e-4}
    pretrain(tiny_run(text, pretrain__max_steps=3, **other), output, resume=True)  # as E464 says
    config = tiny_run(text, pretrain__max_steps=4, pretrain__objective__n_rows=2)
    with pytest.raises(ValueError, match=r"E461.*\['pretrain.objective'\]"):
        pretrain(config, output, resume=True)


def test_a_run_goes_on_with_its_own_text_only(text: Path, tmp_path: Path) -> None:
    """Types are numbered by frequency, so another text of as many types would fit the weights."""
    held_out = tmp_path / "held_out.txt"
    held_out.write_text(text.read_text())
    changes = {"pretrain__held_out__path": str(held_out), "pretrain__objective__vocab_size": 20}
    pretrain(tiny_run(text, pretrain__max_steps=2, **changes), tmp_path, resume=False)
    before, log = text.read_text(), (tmp_path / "log.jsonl").read_text()
    config = tiny_run(text, pretrain__max_steps=4, **changes)
    text.write_text(before + "\nzebra yak zebra yak\n" * 60)
    store = read_files(tmp_path / "text" / "train")
    with pytest.raises(ValueError, match=r"E461.*changed: the text to learn from\."):
        pretrain(config, tmp_path, resume=True)
    assert (tmp_path / "log.jsonl").read_text() == log
    files = read_files(tmp_path / "text" / "train")
    assert {name: files[name] for name in store} == store
    text.write_text(before)  # with another time
    pretrain(config, tmp_path, resume=True)
    assert (tmp_path / "checkpoints" / "step-00000004").exists()


def test_a_run_goes_on_with_its_text_elsewhere(finished: Run, tmp_path: Path) -> None:
    moved = tmp_path / "moved.txt"
    moved.write_bytes(finished.text.read_bytes())
    changes = {"pretrain__held_out__path": str(finished.text)}
    config = tiny_run(moved, pretrain__max_steps=4, **changes)
    pretrain(config, finished.output, resume=True)
    assert (finished.output / "checkpoints" / "step-00000004").exists()


@pytest.mark.parametrize("name", ["ids.npy", "meta.json"])
def test_damaged_text_is_made_anew(name: str, finished: Run, longer_run: Run) -> None:
    file = finished.output / "text" / "train" / name
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    pretrain(tiny_run(finished.text, pretrain__max_steps=4), finished.output, resume=True)
    assert name != "ids.npy" or file.read_bytes() == whole
    a, b = (read_weights(run.output) for run in (longer_run, finished))
    assert a and all(torch.equal(a[key], b[key]) for key in a)


def test_long_documents_of_held_out_text(text: Path, tmp_path: Path) -> None:
    """spaCy refuses to tokenise 1,000,000 characters at once."""
    path = tmp_path / "long.jsonl"
    lines = text.read_text().split("\n")
    long = " ".join([line for line in lines if line] * 700)
    assert len(long) > 1_000_000
    path.write_text(json.dumps({"text": long}))
    nlp = build_pipeline(*read(tiny_run(text, pretrain__held_out__path=str(path))))
    assert nlp.pipe_names == ["ctxemb"]


def read(config: Config) -> tuple[Config, PretrainSettings]:
    return config, read_settings(config.interpolate())


def test_other_components_are_left_out(text: Path, tmp_path: Path) -> None:
    """They have no labels to be initialised with."""
    config = tiny_run(text, pretrain__max_steps=1)
    config["nlp"]["pipeline"] = ["ctxemb", "textcat"]
    config["components"]["textcat"] = {"factory": "textcat"}
    nlp = pretrain(config, tmp_path / "a", resume=False)
    assert nlp is not None and nlp.pipe_names == ["ctxemb"]


def test_text_of_rare_words_alone(text: Path, tmp_path: Path) -> None:
    config = tiny_run(text, pretrain__objective__min_count=1000)
    with pytest.raises(ValueError, match=r"E414.*No word of the text occurs 1000 times"):
        pretrain(config, tmp_path / "a", resume=False)


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_other_targets_are_refused(finished: Run) -> None:
    rewrite(finished, lambda p: p["basis"]["digests"].update({"what the objective predicts": "x"}))
    with pytest.raises(ValueError, match=r"E461.*changed: what the objective predicts\."):
        pretrain(tiny_run(finished.text, pretrain__max_steps=4), finished.output, resume=True)


def rewrite(run: Run, change: Callable[[dict[str, Any]], object]) -> None:
    """Change progress.json of a run's only checkpoint, and its checksum with it."""
    path = run.output / "checkpoints" / "step-00000002"
    progress = json.loads((path / "progress.json").read_text())
    change(progress)
    (path / "progress.json").write_text(json.dumps(progress))
    write_checksums(path)


def write_checksums(checkpoint: Path) -> None:
    """As whoever changes a file on purpose can do."""
    files = [path for path in checkpoint.iterdir() if path.name != "checksums.json"]
    checksums = {path.name: compute_checksum(path) for path in files}
    (checkpoint / "checksums.json").write_text(json.dumps(checksums))


def test_text_is_not_read_from_where_a_run_writes(text: Path) -> None:
    with pytest.raises(ValueError, match="E456.*Choose another folder"):
        pretrain(tiny_run(text.parent), text.parent / "run", resume=False)
    assert not (text.parent / "run").exists()


@pytest.mark.parametrize("folder", ["text", "text/train"])
def test_text_is_not_read_from_where_a_run_stores_its_own(
    folder: str, text: Path, tmp_path: Path
) -> None:
    """A run would replace the raw text by what it makes of it."""
    (tmp_path / folder).mkdir(parents=True)
    copy = Path(shutil.copy(text, tmp_path / folder))
    for path in (copy, copy.parent):
        with pytest.raises(ValueError, match="E456.*Choose another folder"):
            pretrain(tiny_run(path), tmp_path, resume=False)
    assert copy.read_bytes() == text.read_bytes()


@pytest.mark.parametrize(
    "name, resume",
    [
        ("log.jsonl", False),
        *itertools.product(["model-last.bin", "config.cfg", "curves.png"], [False, True]),
    ],
)
def test_files_of_another_program_are_not_written_over(
    name: str, resume: bool, text: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    output.mkdir()
    (output / name).write_text("of another program")
    with pytest.raises(ValueError, match=f"E459.*{name}, which a new run would"):
        pretrain(tiny_run(text), output, resume=resume)
    assert (output / name).read_text() == "of another program"
    assert [path.name for path in output.iterdir()] == [name]


def test_a_run_that_was_stopped_before_its_first_checkpoint(text: Path, tmp_path: Path) -> None:
    """What it leaves does not keep it from beginning again, nor does its own config."""
    config = tiny_run(text, pretrain__max_steps=1)
    config.to_disk(tmp_path / "config.cfg")
    pretrain(config, tmp_path, resume=False)
    shutil.rmtree(tmp_path / "checkpoints")
    (tmp_path / "model-last.bin").unlink()
    (tmp_path / "curves.png").unlink(missing_ok=True)
    pretrain(tiny_run(text, pretrain__max_steps=2), tmp_path, resume=True)
    assert load_config(tmp_path / "config.cfg")["pretrain"]["max_steps"] == 2


def test_another_number_of_shards_is_refused(finished: Run) -> None:
    text, output = finished
    shutil.rmtree(output / "text")
    with pytest.raises(ValueError, match="E462.*of 1 shards of the data, but here are 2"):
        pretrain(tiny_run(text, pretrain__accumulate=2), output, resume=True)
    assert not (output / "text").exists()  # nothing was tokenised


def test_the_log_has_each_step_once(text: Path, tmp_path: Path) -> None:
    pretrain(tiny_run(text, pretrain__max_steps=4), tmp_path, resume=False)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 99}) + "\n" + '{"step": 1')
    pretrain(tiny_run(text, pretrain__max_steps=6), tmp_path, resume=True)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [3, 4, 6]
    assert all(set(row["scores"]) >= {"perplexity", "perplexity_forward"} for row in rows)
    words = 4 * 5
    assert [row["words"] for row in rows] == [3 * words, 4 * words, 6 * words]


def test_pieces_are_never_learned_from_a_sample(text: Path, tmp_path: Path) -> None:
    masked_lm = tiny_masked_lm_run(text)
    del masked_lm["initialize"]["components"]["ctxemb"]["pieces_loader"]
    message = "E458.*WordPieces of 'ctxemb' have no vocabulary.*train-pieces.*pieces_loader"
    with pytest.raises(ValueError, match=message):
        pretrain(masked_lm, tmp_path, resume=False)
    assert not (tmp_path / "text").exists()


def test_pieces_may_come_from_a_callback(text: Path, tmp_path: Path) -> None:
    masked_lm = tiny_masked_lm_run(text)
    loader = masked_lm["initialize"]["components"]["ctxemb"].pop("pieces_loader")
    masked_lm["initialize"]["before_init"] = {
        "@callbacks": "spacy-ctxemb.LoadPieces.v1",
        "path": loader["path"],
    }
    config = masked_lm.interpolate()
    nlp = build_pipeline(config, read_settings(config))
    vocabulary = json.loads(Path(config["paths"]["pieces"]).read_text())["model"]["vocab"]
    pieces = get_shim(nlp.get_pipe("ctxemb").model).pieces
    assert pieces.to_json()["tokenizer"]["model"]["vocab"] == vocabulary


def test_summaries_name_perplexities_and_accuracies() -> None:
    scores = summarise({"forward": (6.0, 3.0), "backward": (12.0, 3.0)})
    assert scores == pytest.approx(
        {
            "perplexity_forward": math.e**2,
            "perplexity_backward": math.e**4,
            "perplexity": math.e**3,
        }
    )
    assert summarise({"masked_accuracy": (1.0, 4.0)}) == {"masked_accuracy": 0.25}


def test_a_loss_beyond_floats_is_an_infinite_perplexity(tmp_path: Path) -> None:
    assert summarise({"forward": (800.0, 1.0)}) == {"perplexity_forward": math.inf}
    row = {"step": 1, "words": 10, "losses": {"forward": 900.0}}
    (tmp_path / "log.jsonl").write_text(json.dumps(row) + "\n")
    plot_log(tmp_path)  # without that point
