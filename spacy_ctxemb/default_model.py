"""The models of components where a config does not choose: that of the weights that ship, a head.

factory.py imports this, and so every start of spaCy. So it imports next to nothing.
"""

from typing import Any

DEFAULT_MODEL: dict[str, Any] = {
    "@architectures": "spacy-ctxemb.ContextualTok2Vec.v1",
    "encoder": {
        "@architectures": "spacy-ctxemb.Transformer.v1",
        "vocab_size": 40000,
        "width": 256,
        "n_blocks": 4,
        "n_heads": 4,
        "feedforward_width": 768,
        "max_length": 256,
        "n_segments": 0,
        "embedding_width": None,
        "n_groups": None,
        "n_position_buckets": None,
        "activation": "gelu",
        "pre_norm": False,
        "layer_norm_epsilon": 1e-12,
    },
    # Without the weights that ship, a vocabulary is learned from the training examples.
    "pieces": {
        "@architectures": "spacy-ctxemb.WordPieces.v1",
        "vocab_size": 40000,
        "lowercase": False,
    },
    "mix": {"@architectures": "spacy-ctxemb.LastLayers.v1", "n": 2},
    # The weights have learned from texts of several sentences.
    "split_sentences": False,
}


def build_default_head(reads: str) -> dict[str, Any]:
    """A linear layer on the encoder before it. reads: see `spacy-ctxemb.Head.v1`."""
    return {
        "@architectures": "spacy-ctxemb.Head.v1",
        "reads": reads,
        "tok2vec": {
            "@architectures": "spacy-ctxemb.PieceStatesListener.v1",
            "width": None,
            "upstream": "*",
        },
    }
