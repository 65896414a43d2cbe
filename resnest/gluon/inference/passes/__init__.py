"""Passes over mxnet symbols: each takes a graph and gives a faster one with the same outputs."""
