"""The largest of maps that are enlarged to the size of a picture."""
import numpy as np

__all__ = ['largest']


def largest(maps, height, width):
    """Which of the maps ``(K, h, w)`` is the largest at each pixel of a picture, when they are resized to it: int32
    ``(height, width)``, the first one where several are.

    Bilinear, corners not aligned, and without smoothing where it shrinks: as the semantic head enlarges its own maps.
    One map after another is resized, so that 50 of them need no room for 50 pictures.
    """
    rows, columns = (_taps(length, side) for length, side in zip(maps.shape[1:], (height, width)))
    label, best = np.zeros((height, width), 'int32'), np.full((height, width), -np.inf, 'float32')
    for kind, values in enumerate(maps):
        values = _between(_between(values, rows, 0), columns, 1)
        label[values > best] = kind
        np.maximum(values, best, out=best)
    return label


def _taps(length, side):
    """The two neighbours of each new position among the old ones, and the share of the second."""
    place = np.clip((np.arange(side) + 0.5) * length / side - 0.5, 0, length - 1)
    first = np.floor(place).astype(int)
    return first, np.minimum(first + 1, length - 1), (place - first).astype('float32')


def _between(values, taps, axis):
    first, second, share = taps
    if values.shape[axis] == len(first):        # at each old position one new one
        return values
    low, high = values.take(first, axis), values.take(second, axis)
    return low + (high - low) * (share[:, None] if axis == 0 else share)
