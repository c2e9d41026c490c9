"""What is wrong with a config and its data, before training: `python -m spacy ctxemb doctor`."""
