"""From a corpus to sequences of pieces."""
