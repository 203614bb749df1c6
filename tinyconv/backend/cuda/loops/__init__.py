"""The loops of all other kernels: down columns, over elements, over lists of arrays."""
