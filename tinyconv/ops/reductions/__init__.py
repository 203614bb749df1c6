"""Functions of all elements along dimensions: sums, extrema, order, statistics, counts."""
