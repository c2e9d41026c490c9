"""A run on short windows."""

import json

import pytest
import torch

from spacy_ctxemb.encoders import attention

from . import attention_routines
from .attention_routines import ROUTINES


def test_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    attention_routines.main("4,70", pieces=140, heads=2, width=8, rounds=1, threads=1)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    sizes = [(line["type"], line["length"], line["windows"]) for line in lines]
    assert sizes == [(x, n, 140 // n) for x in ("fp32", "bf16") for n in (4, 70)]
    for line in lines:
        assert line["chosen"] in ROUTINES
        most = 1e-5 if line["type"] == "fp32" else 0.05
        assert all(line[name]["difference"] < most for name in ROUTINES)
        assert (line["plain"]["difference"] == 0) == (line["type"] == "fp32")


@pytest.mark.parametrize("cpu", ["AVX2", "AVX-512", "AMX"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [4, attention.LONG])
def test_the_chosen_routine_is_the_one_that_runs(
    length: int, dtype: torch.dtype, cpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "HAS_AVX512_ALONE", cpu == "AVX-512")
    monkeypatch.setattr(attention, "HAS_AMX", cpu == "AMX")
    ran: list[str] = []
    for name, routine in ROUTINES.items():
        monkeypatch.setattr(attention, routine.__name__, lambda *_, ran=ran, n=name: ran.append(n))
    q, k, v = attention_routines.draw(1, length, 1, 8).to(dtype)
    with torch.inference_mode():
        attention.attend(q, k, v, None, 0.0)
        assert ran == [attention_routines.find_chosen(q)]
