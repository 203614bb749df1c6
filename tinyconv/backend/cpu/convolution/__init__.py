"""The algorithms of convolution, and the choice between them; see ``conv.py`` for the table."""
