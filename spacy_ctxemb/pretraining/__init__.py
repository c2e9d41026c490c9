"""Pretraining at scale: any number of processes, exact resumption."""
