"""Float32 models to a few bits."""
