"""From pieces to batches of windows, and back to one row a piece."""
