"""Fuzzing of every parser, guided by coverage: `python -m fuzz KIND`."""
