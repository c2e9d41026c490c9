import base64
import json
import re
import sys
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from matplotlib.image import imread
from safetensors.numpy import save_file
from spacy.cli import app
from spacy.training.loggers import console_logger_v3
from spacy.util import registry
from typer.testing import CliRunner, Result

from spacy_ctxemb.report.format_tables import mark_best
from spacy_ctxemb.report.plots import CONTEXT_FREE
from spacy_ctxemb.report.read_metrics import RESULT, find_pretraining_losses
from spacy_ctxemb.report.word_senses import place_senses

from ..pipelines import WIDTH, initialised, ner_config

SENSES = Path(__file__).parents[1] / "corpus" / "senses.jsonl"


def test_a_comparison_comes_first(project: Path) -> None:
    write_comparison(project / "metrics" / "comparison")
    markdown, html = run_report(project)
    _, title, note, table, picture, *_ = markdown.split("\n\n")
    assert title == "## Comparison" and "development set" in note
    assert table.splitlines() == [
        "|  | news, 10 examples | news, all 40 |",
        "| :-- | --: | --: |",
        "| cnn | 50.0 ± 14.1 | 80.0 |",
        "| context | **70.0** | – |",
    ]
    assert picture == (
        "![Mean test scores by the number of labelled examples. news, 10 examples: cnn 50.0, "
        "context 70.0. news, all 40: cnn 80.0.](comparison.png)"
    )
    assert html.index("<table>") < html.index("<img src=") < html.index("ner: scores")
    picture_file = project / "metrics" / "comparison.png"
    assert base64.b64encode(picture_file.read_bytes()).decode() in html
    assert "## news: scores" in markdown and "## news: dev score" in markdown


def test_senses_of_a_word_lie_on_a_plane(project: Path) -> None:
    write_comparison(project / "metrics" / "comparison")
    markdown, _ = run_report(project, "--senses", str(SENSES))
    assert "Beside it 12 uses of the word spring on a plane, by sense: season and coil;" in markdown


def test_context_tells_the_senses_apart() -> None:
    word, points = place_senses(SENSES)
    assert word == "spring" and list(points) == ["season", "coil", CONTEXT_FREE]
    places = {sense: np.array(found) for sense, found in points.items()}
    centres = {sense: place.mean(axis=0) for sense, place in places.items()}
    for sense, other in (("season", "coil"), ("coil", "season")):
        near, far = (
            np.linalg.norm(places[sense] - centres[name], axis=1) for name in (sense, other)
        )
        assert np.mean(near < far) > 0.8
    assert len(places[CONTEXT_FREE]) == 1


def test_a_text_without_the_word(tmp_path: Path) -> None:
    path = tmp_path / "senses.jsonl"
    write_json(path, {"text": "Banks close.", "word": "bank", "sense": "money"})
    with pytest.raises(ValueError, match=r"\[E516\].*senses\.jsonl.*token 'bank': 'Banks close\.'"):
        place_senses(path)


def test_best_score_is_bold_and_numbers_are_formatted(project: Path) -> None:
    markdown, html = run_report(project)
    assert "| run | precision | recall | F | words/s |" in markdown
    assert "| bilm_finetuned | 90.0 | 80.0 | **84.7** | 1,234 |" in markdown
    assert "| hashembedcnn | **92.1** | **80.1** | 79.9 | 56,789 |" in markdown
    assert '<th scope="row">bilm_finetuned</th><td>90.0</td>' in html
    assert "<td><strong>84.7</strong></td><td>1,234</td>" in html


def test_accuracy_is_micro_f_where_classes_exclude_each_other(project: Path) -> None:
    markdown, html = run_report(project)
    assert "| run | accuracy (= micro F) | macro F | words/s |" in markdown
    assert "| bilm_frozen | 75.0 | 70.0 | 9,877 |" in markdown
    assert "<th scope=" in html and "accuracy (= micro F)" in html


def test_micro_f_is_not_accuracy_where_classes_may_combine(project: Path) -> None:
    scores = {"cats_score": 0.9, "cats_score_desc": "macro AUC", "cats_micro_f": 0.6}
    write_json(project / "metrics" / "textcat_bilm_frozen.json", scores)
    markdown, _ = run_report(project)
    assert "| run | micro F | macro AUC |" in markdown
    assert "| bilm_frozen | 60.0 | 90.0 |" in markdown


def test_other_tasks_are_told_by_their_scores(project: Path) -> None:
    scores = {"tag_acc": 0.95, "token_acc": 1.0, "speed": None}
    write_json(project / "metrics" / "tagger_cnn.json", scores)
    markdown, _ = run_report(project)
    assert "## tagger: scores" in markdown
    assert "| run | tag accuracy |\n| :-- | --: |\n| cnn | 95.0 |\n" in markdown


def test_labels_have_f_scores(project: Path) -> None:
    markdown, _ = run_report(project)
    assert "| label | bilm_finetuned | hashembedcnn |" in markdown
    assert "| LOC | **80.0** | 70.0 |" in markdown
    assert "| PER | 50.0 | – |" in markdown
    assert "| a\\|b | 75.0 |" in markdown


def test_perplexities_stand_side_by_side(project: Path) -> None:
    markdown, _ = run_report(project)
    assert "| encoder | forward | backward | mean | masked |" in markdown
    assert "| bilm | 10.10 | 9.90 | 10.00 | – |" in markdown
    assert "| transformer | – | – | – | 1,012.30 |" in markdown


def test_layer_weights_are_shares(project: Path) -> None:
    markdown, _ = run_report(project)
    assert "| run | layer 0 | layer 1 | layer 2 | gamma |" in markdown
    assert "| ner_bilm_finetuned | 25.0 | 50.0 | 25.0 | 1.50 |" in markdown


def test_two_mixes_of_a_pipeline_are_told_apart(project: Path) -> None:
    write_mix(project / "training" / "ner_bilm_finetuned", "other", [0.0, 0.0])
    markdown, _ = run_report(project)
    assert "| ner_bilm_finetuned (ctxemb) | 25.0 | 50.0 | 25.0 | 1.50 |" in markdown
    assert "| ner_bilm_finetuned (other) | 50.0 | 50.0 | – | 1.50 |" in markdown


def test_mixes_of_components_are_shown(project: Path) -> None:
    nlp = initialised()
    config = ner_config({"@architectures": "spacy-ctxemb.LayerMixListener.v1", "width": WIDTH})
    nlp.add_pipe("ner", config=config)
    (listener,) = nlp.get_pipe("ctxemb").listeners
    listener.mix.weights.data[1] = np.log(2)
    (project / "training" / "ner_mixed").mkdir()
    nlp.to_disk(project / "training" / "ner_mixed" / "model-best")
    markdown, _ = run_report(project)
    assert "| ner_mixed (ctxemb) | 33.3 | 33.3 | 33.3 | 1.00 |" in markdown
    assert "| ner_mixed (ner) | 25.0 | 50.0 | 25.0 | 1.00 |" in markdown


def test_weights_without_a_mix_are_passed_over(project: Path) -> None:
    path = project / "training/ner_bilm_finetuned/model-best/ctxemb/model/encoder.safetensors"
    save_file({"encoder.weight": np.zeros((2, 2), dtype="f")}, path)
    markdown, _ = run_report(project)
    assert "Layer weights" not in markdown


def test_html_holds_its_plots(project: Path) -> None:
    _, html = run_report(project)
    images = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)">', html)
    assert len(images) == len(re.findall("<img", html)) == 2
    for data, alt in images:
        pixels = imread(BytesIO(base64.b64decode(data, validate=True)), format="png")
        assert pixels.shape[1] == 880 and pixels.std() > 0
        assert "chart of" in alt
    assert "bilm_finetuned goes from 10 to 80, between 10 and 80" in html
    assert "http" not in html and "<script" not in html


def test_markdown_links_exist_in_html(project: Path) -> None:
    markdown, html = run_report(project)
    links = re.findall(r"\(report\.html#([^)]+)\)", markdown)
    assert len(links) == 2 and all(f'<h2 id="{link}">' in html for link in links)


def test_conditions_are_recorded(project: Path) -> None:
    markdown, html = run_report(project, "--title", "A & B")
    assert markdown.startswith("# A & B\n")
    assert "<h1>A &amp; B</h1>" in html
    for name in ("spacy", "torch", "spacy-ctxemb"):
        assert version(name) in markdown and version(name) in html
    assert date.today().isoformat() in markdown
    assert "- CPU threads: " in markdown


def test_terminal_shows_scores(project: Path) -> None:
    result = invoke(project)
    assert re.search(r"bilm_finetuned +90\.0 +80\.0 +84\.7 \* +1,234", result.output)
    assert "LOC" not in result.output


def test_missing_sections_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    write_json(tmp_path / "metrics" / "ner_bilm.json", {"ents_f": 0.5, "speed": 10.0})
    markdown, html = run_report(tmp_path)
    assert re.findall("^## (.*)", markdown, re.M) == ["ner: scores", "Written with"]
    assert "| bilm | 50.0 | 10 |" in markdown
    assert "<img" not in html


def test_logs_alone_make_a_report(project: Path) -> None:
    for path in (project / "metrics").iterdir():
        path.unlink()
    (project / "metrics").rmdir()
    markdown, _ = run_report(project)
    assert "## ner: dev score" in markdown and "scores" not in markdown


def test_nothing_to_report_is_an_error(tmp_path: Path) -> None:
    result = invoke(tmp_path)
    assert result.exit_code == 1
    message = " ".join(result.output.split())
    assert re.search(r"\[E517\] No metrics were found in .*metrics", message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content, reason",
    [
        ('{"score":', "Expecting value"),
        ('{"score": 1.0}', "it lacks ['config', 'corpus', 'n_labelled'"),
        ("[1]", "it lacks ['config'"),
    ],
)
def test_a_result_that_is_damaged(content: str, reason: str, project: Path) -> None:
    path = project / "metrics" / "comparison" / "a.json"
    path.parent.mkdir()
    path.write_text(content)
    result = invoke(project)
    message = " ".join(result.output.split())
    assert result.exit_code == 1
    assert "[E163]" in message and "a.json cannot be read as JSON: " in message
    assert reason in message and not (project / "metrics" / "report.md").exists()


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("training/ner_x/model-best/ctxemb/model/encoder.safetensors", "cut", "an encoder"),
        ("training/ner_x/log.jsonl", '{"step": 1}', "row 1 has no number as score"),
        ("training/ner_x/log.jsonl", '{"step": 1, "score": null}', "no number as score"),
        ("training/ner_x/log.jsonl", "1", "row 1 has no number as step"),
        ("pretraining/x/log.jsonl", '{"step": 1, "losses": {}}', "no number as epoch"),
        (
            "metrics/comparison/a.json",
            json.dumps({**dict.fromkeys(RESULT, 0), "log": [{"step": 1}]}),
            "row 1 has no number as score",
        ),
    ],
)
def test_files_that_are_damaged(name: str, content: str, reason: str, project: Path) -> None:
    (project / name).parent.mkdir(parents=True)
    (project / name).write_text(content)
    result = invoke(project)
    message = " ".join(result.output.split())
    assert result.exit_code == 1 and "[E163]" in message and reason in message
    assert Path(name).name in message and not (project / "metrics" / "report.md").exists()


@pytest.mark.parametrize("content", ["", "{", '{"text": "a bank", "word": "bank"}', "[]", "1"])
def test_uses_of_a_word_that_are_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "senses.jsonl").write_text(content)
    with pytest.raises(ValueError, match=r'\[E163\].*senses\.jsonl cannot be read as.*"sense": '):
        place_senses(tmp_path / "senses.jsonl")


def test_plots_need_a_package(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = sys.modules["spacy_ctxemb.cli.report"]  # the package has the function of this name
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    result = invoke(project)
    assert result.exit_code == 1 and "[E523] matplotlib draws the plots" in result.output


@pytest.mark.parametrize("line", ['{"epoch":3,"step":1', 99_999 * "[", 5000 * "1"])
def test_truncated_line_of_a_log_is_skipped(line: str, project: Path) -> None:
    before, _ = run_report(project)
    for path in project.glob("*/*/log.jsonl"):
        with path.open("a", encoding="utf8") as log:
            log.write(line)
    assert run_report(project)[0] == before


def test_nothing_else_is_left_in_the_directory(project: Path) -> None:
    before = {path.name for path in (project / "metrics").iterdir()}
    run_report(project)
    after = {path.name for path in (project / "metrics").iterdir()}
    assert after - before == {"report.md", "report.html"}


def test_single_score_is_not_the_best() -> None:
    assert [cell.best for cell in mark_best([0.5, None])] == [False, False]


def test_equal_scores_are_all_the_best() -> None:
    assert [cell.best for cell in mark_best([0.50001, 0.50002, 0.4])] == [True, True, False]


def test_pretraining_loss_is_the_mean_of_a_word() -> None:
    rows = pretraining_rows([600.0, 500.0])
    assert find_pretraining_losses(rows) == [(100, 6.0), (200, 5.0)]


def test_interrupted_pretraining_is_a_short_epoch() -> None:
    rows = pretraining_rows([600.0])[:-1]
    rows.append({"nr_word": 110, "loss": 650.0, "epoch_loss": 50.0, "epoch": 10})
    assert find_pretraining_losses(rows) == [(100, 6.0), (110, 5.0)]


def test_resumed_pretraining_goes_on() -> None:
    resumed = pretraining_rows([400.0, 300.0], first_epoch=2)
    rows = pretraining_rows([600.0, 500.0])[:-1] + resumed
    assert find_pretraining_losses(rows) == [(100, 6.0), (200, 5.0), (300, 4.0), (400, 3.0)]


def test_pretraining_anew_replaces_the_old_curve() -> None:
    rows = pretraining_rows([600.0, 500.0]) + pretraining_rows([400.0])
    assert find_pretraining_losses(rows) == [(100, 4.0)]


def write_comparison(folder: Path) -> None:
    """As `ctxemb compare` writes its results."""
    folder.mkdir(parents=True)
    log = [{"step": 0, "score": 0.1, "losses": {"ner": 1.0}}]
    for config, size, seed, score in (
        ("cnn", 10, 0, 0.4),
        ("cnn", 10, 1, 0.6),
        ("cnn", 0, 0, 0.8),
        ("context", 10, 0, 0.7),
    ):
        row = {"config": config, "corpus": "news", "n_labelled": size, "n_examples": size or 40}
        scores = {"ents_f": score, "ents_per_type": {}}
        row |= {"seed": seed, "metric": "ents_f", "score": score, "scores": scores}
        write_json(folder / f"{config}-{size}-{seed}.json", {**row, "log": log, "mixes": []})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a project with three trainings and two pretrained encoders leaves behind."""
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    write_json(
        metrics / "ner_bilm_finetuned.json",
        ner_scores((0.9, 0.8, 0.847), {"LOC": 0.8, "PER": 0.5}, 1234.4),
    )
    write_json(
        metrics / "ner_hashembedcnn.json", ner_scores((0.921, 0.801, 0.799), {"LOC": 0.7}, 56789.0)
    )
    write_json(
        metrics / "textcat_bilm_frozen.json",
        {
            "token_acc": 1.0,
            "cats_score": 0.7,
            "cats_score_desc": "macro F",
            "cats_micro_f": 0.75,
            "cats_macro_f": 0.7,
            "cats_macro_auc": None,
            "cats_f_per_type": {"a|b": {"p": 0.75, "r": 0.75, "f": 0.75}},
            "speed": 9876.6,
        },
    )
    bilm = {"forward": 10.1, "backward": 9.9, "mean": 10.0}
    write_json(metrics / "perplexity_bilm.json", {"perplexity": bilm})
    write_json(metrics / "perplexity_transformer.json", {"perplexity": {"masked": 1012.3}})
    write_training_log(tmp_path / "training" / "ner_bilm_finetuned", scores=[0.1, 0.5, 0.8])
    write_training_log(tmp_path / "training" / "ner_hashembedcnn", scores=[0.2])
    write_mix(tmp_path / "training" / "ner_bilm_finetuned", "ctxemb", [0.0, np.log(2), 0.0])
    (tmp_path / "pretraining" / "bilm").mkdir(parents=True)
    lines = [json.dumps(row) + "\n" for row in pretraining_rows([600.0, 500.0, 450.0])]
    (tmp_path / "pretraining" / "bilm" / "log.jsonl").write_text("".join(lines), encoding="utf8")
    return tmp_path


def ner_scores(
    prf: tuple[float, float, float], labels: dict[str, float], speed: float
) -> dict[str, Any]:
    """As `spacy evaluate` writes them."""
    p, r, f = prf
    per_type = {label: {"p": f, "r": f, "f": f} for label, f in labels.items()}
    totals = {"token_acc": 1.0, "ents_p": p, "ents_r": r, "ents_f": f}
    return {**totals, "ents_per_type": per_type, "speed": speed}


def write_training_log(directory: Path, scores: Sequence[float]) -> None:
    """By spaCy's own logger."""
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    weights = {"ents_f": 1.0}
    nlp.config["training"] = {"max_steps": 100, "eval_frequency": 50, "score_weights": weights}
    logger = console_logger_v3(console_output=False, output_file=directory / "log.jsonl")
    log_step, finalize = logger(nlp)
    for i, score in enumerate(scores):
        other = {"ents_f": score}
        losses = {"ner": 50.0 / (i + 1)}
        log_step(
            {"epoch": i, "step": 50 * i, "losses": losses, "score": score, "other_scores": other}
        )
        log_step(None)
    finalize()


def write_mix(directory: Path, component: str, weights: Sequence[float]) -> None:
    path = directory / "model-best" / component / "model" / "encoder.safetensors"
    path.parent.mkdir(parents=True)
    mix = {"mix.weights": np.array(weights, dtype="f"), "mix.gamma": np.array([1.5], dtype="f")}
    save_file({**mix, "encoder.weight": np.zeros((2, 2), dtype="f")}, path)


def pretraining_rows(losses: Sequence[float], first_epoch: int = 0) -> list[dict[str, Any]]:
    """As `spacy pretrain` logs them, of epochs of 100 words."""
    rows = []
    for i, loss in enumerate(losses, start=1):
        total = sum(losses[:i])
        epoch = first_epoch + i - 1
        rows.append({"nr_word": 100 * i, "loss": total, "epoch_loss": loss, "epoch": epoch})
    return [*rows, {**rows[-1], "epoch_loss": 0.0, "epoch": first_epoch + len(losses)}]


def write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data), encoding="utf8")


def invoke(project: Path, *options: str) -> Result:
    metrics, training, pretraining = (
        str(project / name) for name in ("metrics", "training", "pretraining")
    )
    directories = [metrics, "--training-dir", training, "--pretraining-dir", pretraining]
    registry.cli.get_all()  # as spaCy does at start
    return CliRunner().invoke(app, ["ctxemb", "report", *directories, *options])


def run_report(project: Path, *options: str) -> tuple[str, str]:
    """The pages that the command writes, of Markdown and of HTML."""
    result = invoke(project, "--force", *options)
    assert result.exit_code == 0, result.output
    texts = [(project / "metrics" / f"report.{end}").read_text("utf8") for end in ("md", "html")]
    return texts[0], texts[1]
