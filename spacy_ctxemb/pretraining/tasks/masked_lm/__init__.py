"""Training a masked language model: its sequences, its batches, its loss."""
