"""Design spaces: networks drawn from each, trained for a few epochs, and the distributions of their errors."""
