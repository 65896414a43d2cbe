"""How good the joints are that a network tells."""
