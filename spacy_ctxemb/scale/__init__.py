"""Vectors of millions of texts: partition by partition, in one process, in many, or on Ray."""

from .on_ray import encode_dataset

__all__ = ["encode_dataset"]
