"""Data from strangers and back: files, folders, the hub."""
