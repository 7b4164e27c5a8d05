"""Bits by what the model minds."""
