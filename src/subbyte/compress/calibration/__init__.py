"""What a model meets on text, so that rounding keeps what matters."""
