"""The networks that a detector is made of."""
