"""Activation functions, gates and softmax."""
