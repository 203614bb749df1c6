"""Resizing, sampling, padding and rearranging pixels."""
