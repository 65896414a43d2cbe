"""Encoded images: where they lie, how they are decoded, and what training does to them."""
