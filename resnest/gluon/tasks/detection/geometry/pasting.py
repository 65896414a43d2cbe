"""Masks of boxes onto their image (He et al., 2017, https://arxiv.org/abs/1703.06870, section 3.1)."""
import numpy as np

from .boxes import are_whole

__all__ = ['paste', 'piece']


def paste(probabilities, box, height, width, threshold=0.5):
    """The mask ``(height, width)`` of bool that ``probabilities`` ``(M, M)`` over ``box`` make in an image.

    The centres of pixels are interpolated between the centres of the mask's cells, with zeros around; a pixel belongs
    to the object from ``threshold`` on. An empty box has an empty mask.
    """
    mask = np.zeros((height, width), bool)
    top, left, part = piece(probabilities, box, height, width, threshold)
    mask[top:top + len(part), left:left + part.shape[1]] = part
    return mask


def piece(probabilities, box, height, width, threshold=0.5):
    """The part of :func:`paste`'s mask outside of which it is empty: ``(top, left, mask (h, w))``."""
    if not are_whole(np.asarray(box, 'float32')):
        return 0, 0, np.zeros((0, 0), bool)
    side = len(probabilities)
    (top, rows), (left, columns) = (_along(box[axis], box[axis + 2], side, length)
                                    for axis, length in ((1, height), (0, width)))
    return top, left, rows @ np.asarray(probabilities, 'float32') @ columns.T >= threshold


def _along(begin, end, side, length):
    """The first pixel near the box along one axis, and the weights ``(pixels, side)`` of the mask's cells for it and
    those that follow."""
    begin, end = float(begin), float(end)
    border = (end - begin) / side       # from here on the interpolation is with zeros alone
    first = int(np.clip(np.floor(begin - border), 0, length))
    last = int(np.clip(np.ceil(end + border), first, length))
    position = (np.arange(first, last) + 0.5 - begin) / (end - begin) * side - 0.5
    return first, np.maximum(1 - np.abs(position[:, None] - np.arange(side)), 0).astype('float32')
