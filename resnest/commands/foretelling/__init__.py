"""The commands that foretell what training takes, of many ranks and of a GPU."""
