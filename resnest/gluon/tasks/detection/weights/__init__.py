"""Published weights, and the names that others give to the same parameters."""
