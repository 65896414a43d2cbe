"""How a detector learns: which boxes stand for which objects, what they should become, and the losses."""
