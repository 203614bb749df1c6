"""Vector instructions: the register tile of products, transposes, runs, and exponentials."""
