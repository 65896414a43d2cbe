"""Scores of pixels, and the exact figures of a data set."""
