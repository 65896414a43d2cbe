"""The commands of pose."""
