"""Random tensors, dropout and noise."""
