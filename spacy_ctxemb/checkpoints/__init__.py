"""Published model formats, read and written: PyTorch, no spaCy, no Thinc."""
