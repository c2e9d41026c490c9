"""Vectors of many texts at once: in memory, and on disk."""
