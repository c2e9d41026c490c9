"""Trainings of several configs on several corpora: what `python -m spacy ctxemb compare` runs."""
