"""A fuzzer of the importers: damaged models, made from a seed, and what becomes of them.

python -m tests.checkpoints.fuzz --kind bert --n 1000 --seed 0
"""
