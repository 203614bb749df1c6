"""Picking and writing elements by position: indices, masks, tables."""
