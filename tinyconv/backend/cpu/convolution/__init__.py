"""The algorithms of convolution, and the choice between them; see :mod:`..conv` for the table."""
