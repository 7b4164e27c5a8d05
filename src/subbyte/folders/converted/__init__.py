"""The folder that subbyte writes."""
