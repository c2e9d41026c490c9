"""`benchmark`: which settings are fast on this machine."""
