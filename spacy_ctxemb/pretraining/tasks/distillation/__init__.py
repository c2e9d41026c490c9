"""Learning from a teacher: its answers, texts in the pieces of both, the first table."""
