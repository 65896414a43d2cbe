"""Design spaces: many networks that are drawn from one, trained for a few epochs, and the distribution of their errors."""
