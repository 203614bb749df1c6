"""Functions of each element, or of the elements of two tensors at the same place."""
