"""Matrix products, of which convolutions are made: tiles, tensor cores, and which tile to take."""
