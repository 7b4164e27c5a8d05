"""Lines, sentences, tokenizers."""
