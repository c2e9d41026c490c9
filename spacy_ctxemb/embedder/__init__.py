"""From windows to token vectors: encoder, layer mix, pooling, projection."""
