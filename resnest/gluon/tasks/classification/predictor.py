"""One picture in Python: from paths, PIL images or arrays to names and probabilities."""
