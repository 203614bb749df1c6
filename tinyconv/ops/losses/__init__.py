"""How far predictions are from what they should be."""
