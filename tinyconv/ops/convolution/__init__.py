"""Convolutions, transposed ones, and their windows as columns."""
