"""Sizes of images as detectors see them."""

__all__ = ['seen_size']


def seen_size(height, width, short_side, long_side):
    """Height and width of an image after it is resized: its short side has ``short_side`` pixels, unless its long side
    would have more than ``long_side``, which it has then; at least one pixel each."""
    scale = short_side / min(height, width)
    if max(height, width) * scale > long_side:
        scale = long_side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
