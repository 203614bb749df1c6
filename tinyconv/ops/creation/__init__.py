"""New tensors: from data, from a rule, and combinations of others."""
