"""The ways to convolve: as matrix products, without any, and with a normalisation folded in."""
