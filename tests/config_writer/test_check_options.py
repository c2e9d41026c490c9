"""Which choices go together. Messages on tasks: tests/cli/test_init_config.py."""

import pytest

from spacy_ctxemb.config_writer.check_options import Choices, Optimize


def test_what_optimize_decides() -> None:
    def decide(optimize: Optimize, freeze: bool) -> tuple[bool | None, bool, bool]:
        choices = Choices(["ner"], optimize=optimize, freeze=freeze)
        return choices.wants_mix, choices.wants_cache, choices.wants_cnn

    assert decide(Optimize.efficiency, False) == (None, False, False)
    assert decide(Optimize.efficiency, True) == (None, True, False)
    assert decide(Optimize.accuracy, False) == (True, False, False)
    assert decide(Optimize.accuracy, True) == (True, False, True)


@pytest.mark.parametrize("optimize", Optimize)
@pytest.mark.parametrize("value", [False, True])
def test_what_the_user_decides(optimize: Optimize, value: bool) -> None:
    choices = Choices(
        ["ner"], optimize=optimize, freeze=True, listener_mix=value, cache=value, cnn=value
    )
    assert (choices.wants_mix, choices.wants_cache, choices.wants_cnn) == (value, value, value)


def test_what_only_a_frozen_encoder_has() -> None:
    with pytest.raises(ValueError, match=r"E502\].*beside a frozen encoder\. Add --freeze"):
        Choices(["ner"], cnn=True)
    with pytest.raises(ValueError, match=r"E503\] A cache is for a frozen encoder"):
        Choices(["ner"], cache=True)
