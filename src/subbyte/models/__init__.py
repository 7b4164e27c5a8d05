"""A model as data: what the engine runs, and the families that are mapped onto it. No disk."""
