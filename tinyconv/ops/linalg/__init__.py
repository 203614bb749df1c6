"""Matrix products, solutions of equations, factorizations, distances."""
