"""What the component refuses, and how it says so."""

import numpy as np
import pytest
import spacy
import torch
from spacy.cli.debug_model import debug_model
from spacy.schemas import ConfigSchemaTraining
from spacy.util import registry
from thinc.api import Adam

from ..pipelines import (
    BILM,
    NER_DATA,
    TEXTCAT_DATA,
    TRANSFORMER,
    WIDTH,
    blank,
    examples,
    initialised,
    learn_by_heart,
    listener,
    ner_config,
    parameters,
    textcat_config,
    with_ner,
)


def test_a_listener_of_another_width():
    nlp = blank()
    with pytest.raises(
        ValueError, match=r"\[E020\].*'ner' has width 32.*'ctxemb'.*width 16. Set its width to 16"
    ):
        nlp.add_pipe("ner", config=ner_config(listener(width=32)))


def test_a_disabled_upstream_is_an_error_not_zeros(tmp_path):
    nlp = with_ner()
    expected = r"\[E021\] 'ner' listens to 'ctxemb'.*5 tokens"
    with nlp.select_pipes(disable="ctxemb"), pytest.raises(ValueError, match=expected):
        nlp("Ada lives in Oslo.")
    assert nlp("Ada lives in Oslo.").tensor.size
    nlp.to_disk(tmp_path)
    with pytest.raises(ValueError, match=expected):
        spacy.load(tmp_path, disable=["ctxemb"])("Ada lives in Oslo.")
    nlp.remove_pipe("ctxemb")
    with pytest.raises(ValueError, match=expected):
        nlp("Ada lives in Oslo.")


def test_a_second_writer_of_the_tensor():
    nlp = blank()
    with pytest.raises(ValueError, match=r"\[E026\] 'tok2vec' comes after 'ctxemb'"):
        nlp.add_pipe("tok2vec")
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    nlp.add_pipe("ctxemb", config={"model": BILM})
    config = ner_config(listener(width=96, upstream="tok2vec"))
    nlp.add_pipe("ner", config=config)
    message = r"\[E034\] 'ner' .*upstream = 'tok2vec'.*is 'ctxemb'.*put 'ctxemb' behind 'ner'"
    with pytest.raises(ValueError, match=message):
        nlp.initialize(lambda: examples(nlp, NER_DATA))


def test_a_writer_whose_readers_come_first_is_no_conflict():
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec")
    nlp.add_pipe("ner", config=ner_config(listener(width=96)))
    nlp.add_pipe("ctxemb", config={"model": BILM})
    nlp.initialize(lambda: examples(nlp, NER_DATA))
    assert nlp("Ada lives in Oslo.").tensor.shape == (5, WIDTH)


def test_two_encoders_with_readers_of_their_own():
    nlp = blank()
    nlp.add_pipe("ner", config=ner_config(listener(upstream="ctxemb")))
    nlp.add_pipe("ctxemb", name="second", config={"model": TRANSFORMER})
    config = textcat_config(listener(upstream="second"))
    nlp.add_pipe("textcat", config=config)
    data = [(text, {**a, **b}) for (text, a), (_, b) in zip(NER_DATA, TEXTCAT_DATA, strict=True)]
    nlp.initialize(lambda: examples(nlp, data))
    learn_by_heart(nlp, data, "ents_f", "cats_micro_f")
    with pytest.raises(ValueError, match=r"\[E022\] 'second' and 'ctxemb'.*'late' would read"):
        nlp.add_pipe("ner", name="late", config=ner_config(listener(upstream="ctxemb")))


@pytest.mark.parametrize("upstream", ["ctxemb", "*"])
def test_a_reader_before_the_encoder(upstream):
    nlp = spacy.blank("en")
    nlp.add_pipe("ner", config=ner_config(listener(upstream=upstream)))
    nlp.add_pipe("ctxemb", config={"model": BILM})
    with pytest.raises(ValueError, match=r"\[E024\] 'ner' listens to 'ctxemb' but comes before"):
        nlp.initialize(lambda: examples(nlp, NER_DATA))


def test_frozen_without_annotating():
    nlp = with_ner()
    with pytest.raises(ValueError, match=r"\[E025\] 'ner'.*annotating_components"):
        nlp.update(examples(nlp, NER_DATA), sgd=Adam(0.001), exclude=["ctxemb"])


def test_spacys_debug_model(capsys):
    """As docs/troubleshooting.md says: it knows no encoder that is not called "tok2vec"."""
    nlp = with_ner()
    config = nlp.config.interpolate()
    training = registry.resolve(config["training"], schema=ConfigSchemaTraining)
    debug_model(config, training, nlp, nlp.get_pipe("ctxemb"))
    assert "model looks good" in capsys.readouterr().out
    with pytest.raises(KeyError, match="No component 'tok2vec'"):
        debug_model(config, training, nlp, nlp.get_pipe("ner"))


def test_no_weights_yet():
    with pytest.raises(RuntimeError, match=r"\[E008\].*nlp.initialize"):
        blank()("text")


def test_no_examples():
    nlp = blank()
    with pytest.raises(ValueError, match=r"\[E009\].*'ctxemb'"):
        nlp.get_pipe("ctxemb").initialize(lambda: [], nlp=nlp)


def test_a_gradient_that_is_not_finite(model):
    """A listener that has diverged does not take the encoder along."""
    nlp = initialised(model)
    pipe = nlp.get_pipe("ctxemb")
    before = parameters(nlp)
    docs = [nlp.make_doc("two words")]
    outputs, backprop = pipe.model.begin_update(docs)
    backprop([np.full_like(y, np.nan) for y in outputs])
    with pytest.warns(UserWarning, match=r"\[W004\] An update was skipped"):
        pipe.finish_update(Adam(0.001))
    assert pipe.counts["skipped_updates"] == 1
    assert all(torch.equal(before[name], value) for name, value in parameters(nlp).items())


def test_a_window_longer_than_the_encoder_allows():
    with pytest.raises(ValueError, match=r"\[E142\] A window of 31 pieces.*max_length of 32"):
        blank({**TRANSFORMER, "window": 31})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "median"}, r"\[E151\] Unknown pooling 'median'"),
        ({"stride": 200, "window": 100}, r"\[E140\] A stride of 200.*100"),
        ({"batch_pieces": 10}, r"\[E141\] batch_pieces of 10"),
        ({"pieces": {"@architectures": "spacy-ctxemb.WordPieces.v1"}}, r"\[E160\]"),
        (
            {"mix": {"@architectures": "spacy-ctxemb.Layer.v1", "layer": 9}},
            r"\[E150\] There is no layer 9: the encoder has 3 layers",
        ),
    ],
)
def test_a_config_that_cannot_work(settings, message):
    with pytest.raises(ValueError, match=message):
        blank({**BILM, **settings})
