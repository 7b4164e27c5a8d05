"""Quality, speed and where a model breaks."""
