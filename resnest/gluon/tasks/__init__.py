"""The tasks, one room each; no task imports another."""
