"""Models that run: the engines, and what users call."""
