"""Weights: downloaded, read, converted, and loaded into networks."""
