"""Where spaCy's Docs, Thinc's models and PyTorch meet."""
