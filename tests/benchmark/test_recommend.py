"""Which setting is recommended, and what makes figures doubtful."""

import pytest
from thinc.api import Config

from spacy_ctxemb.benchmark.recommend import choose, find_doubts, write_lines

from .measured import make_measured

IDLE = {("fp32", 1, 64, 1): 1000.0, ("fp32", 2, 64, 1): 1700.0}


def test_the_fastest() -> None:
    found = make_measured({**IDLE, ("bf16", 2, 128, 1): 2000.0, ("bf16", 1, 64, 2): 2300.0})
    chosen = choose(found)
    assert (chosen.precision, chosen.threads, chosen.batch_size, chosen.n_process) == (
        *("bf16", 1, 64, 2),
    )
    lines = write_lines(found, chosen)
    assert "export OMP_NUM_THREADS=1" in lines and "nlp.pipe(texts, n_process=2)" in lines
    pasted = lines.split("# or in Python")[0]
    config = Config().from_str(f"[components]\n\n[components.ctxemb]\n\n{pasted}")
    assert 'config={"nlp.batch_size": 64, "components.ctxemb.model.precision": "bf16"})' in lines
    assert config["nlp"]["batch_size"] == 64
    assert config["components"]["ctxemb"]["model"]["precision"] == "bf16"


def test_quality_is_not_traded_for_speed() -> None:
    found = make_measured({**IDLE, ("int8", 1, 64, 1): 5000.0, ("int8", 2, 64, 1): 9000.0})
    assert choose(found).precision == "fp32"
    (doubt,) = find_doubts(found)
    assert doubt.startswith("int8 is not recommended: the mean cosine of its vectors with those of")
    assert "is 0.9700, and 0.99 is the least" in doubt
    found.least_cosine = 0.9
    assert choose(found).precision == "int8" and not list(find_doubts(found))


def test_of_equals_the_one_that_needs_least() -> None:
    found = make_measured(
        {**IDLE, ("fp32", 2, 256, 1): 1750.0, ("bf16", 2, 64, 1): 1760.0, ("fp32", 1, 64, 2): 1770}
    )
    assert choose(found) is found.settings[1]


def test_nothing_is_said_of_an_idle_machine() -> None:
    assert not list(find_doubts(make_measured(IDLE, load=0.3)))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"load": 1.4}, "Other programs were busy before the start: the load was 1.4 on 2 cores."),
        ({"cpu": 0.5}, "One thread had as little as 50% of a core: another program took the rest."),
    ],
)
def test_a_busy_machine(
    settings: dict[str, float], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    (doubt,) = find_doubts(make_measured(IDLE, **settings))
    assert doubt.startswith(message)


def test_threads_that_wait_for_each_other() -> None:
    slow = {("fp32", 1, 64, 1): 1769.0, ("fp32", 2, 64, 1): 67.0, ("bf16", 1, 8, 1): 1.0}
    (doubt,) = find_doubts(make_measured(slow))
    assert "fp32: 2 threads reached 67 words/s, one thread 1,769." in doubt
    assert doubt.endswith("Set OMP_NUM_THREADS to fewer than 2.")
