"""Training a biLM: the order of its words, its batches, its loss."""
