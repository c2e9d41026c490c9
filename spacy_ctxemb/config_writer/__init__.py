"""Complete configs for `spacy train`: what `python -m spacy ctxemb init-config` writes."""
