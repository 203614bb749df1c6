"""Robustness in figures, and whether a figure can be believed."""
