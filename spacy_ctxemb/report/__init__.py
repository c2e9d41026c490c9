"""The report of several trainings: what `python -m spacy ctxemb report` writes."""
