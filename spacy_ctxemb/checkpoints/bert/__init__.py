"""Hugging Face checkpoints of BERT and its family."""
