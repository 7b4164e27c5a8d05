"""Folders of Firefox Translations and of Marian."""
