"""Which choices go together. Messages on tasks: tests/cli/test_init_config.py."""

import pytest

from spacy_ctxemb.config_writer.check_options import Choices, Optimize
from spacy_ctxemb.config_writer.encoder_source import Source
from spacy_ctxemb.config_writer.recipes import ENGLISH
from spacy_ctxemb.config_writer.render import settle


def decide(choices: Choices) -> tuple[bool | None, bool | None, bool | None]:
    settled = settle(choices, Source(pretrained="en_transformer_sm", recipe=ENGLISH))
    return settled.freeze, settled.cache, settled.cnn


@pytest.mark.parametrize("freeze", [None, False, True])
def test_what_optimize_decides(freeze: bool | None) -> None:
    small, large = (Choices(["ner"], optimize=optimize, freeze=freeze) for optimize in Optimize)
    assert decide(small) == (bool(freeze), bool(freeze), False)
    assert decide(large) == (bool(freeze), False, bool(freeze))


@pytest.mark.parametrize("optimize", Optimize)
@pytest.mark.parametrize("value", [False, True])
def test_what_the_user_decides(optimize: Optimize, value: bool) -> None:
    choices = Choices(["ner"], optimize=optimize, freeze=True, cache=value, cnn=value)
    assert decide(choices) == (True, value, value)


def test_what_only_a_frozen_encoder_has() -> None:
    with pytest.raises(ValueError, match=r"E502\].*beside a frozen encoder\. Add --freeze"):
        decide(Choices(["ner"], cnn=True))
    with pytest.raises(ValueError, match=r"E503\] A cache is for a frozen encoder"):
        decide(Choices(["ner"], cache=True))
