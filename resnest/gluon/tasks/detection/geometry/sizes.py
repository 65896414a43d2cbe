"""Sizes of images as detectors see them."""

__all__ = ['COARSEST', 'LONGEST_SIDE', 'long_side_for', 'seen_size']

COARSEST = 32           # pixels: images are padded to multiples of it, the pyramid's last but one stride
LONGEST_SIDE = 1 << 14  # pixels, of an image


def seen_size(height, width, short_side, long_side):
    """Height and width of an image after it is resized: its short side has ``short_side`` pixels, unless its long side
    would have more than ``long_side``, which it has then; at least one pixel each."""
    scale = short_side / min(height, width)
    if max(height, width) * scale > long_side:
        scale = long_side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def long_side_for(short_side, spec):
    """The limit of the long side that goes with a short side: in the proportion of those of the row ``spec``."""
    return min(max(1, round(spec.long_side * short_side / spec.short_side)), LONGEST_SIDE)
