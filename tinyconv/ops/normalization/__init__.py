"""Normalisation by the statistics of a batch, of a sample, or of groups of channels."""
