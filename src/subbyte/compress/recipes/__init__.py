"""Recipes: which tensor gets which scheme."""
