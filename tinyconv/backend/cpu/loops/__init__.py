"""The compiled loops of normalisation, pooling, softmax and optimizers, and their plans."""
