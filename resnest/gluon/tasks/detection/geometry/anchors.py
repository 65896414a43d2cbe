"""The anchors of a level of the pyramid (Lin et al., 2017, https://arxiv.org/abs/1612.03144, section 4.1)."""
import functools

import numpy as np

__all__ = ['grid']


@functools.lru_cache(maxsize=64)
def grid(height, width, stride, size, ratios=(0.5, 1.0, 2.0), rounded=False):
    """The anchors of a map of ``height × width`` cells: ``(height * width * len(ratios), 4)``, in the order of rows,
    columns, ratios, and not to be written to.

    ``stride`` is the side of a cell in pixels, ``size`` the side of a square anchor, and ``ratios`` are those of height
    to width at the same area. The centres are the cells' top left corners. ``rounded`` anchors are those of the first
    Faster R-CNN (Ren et al., 2015): an anchor the size of a cell has whole sides, the others are multiples of it, and
    all of them have the cell's middle pixel as their centre, from the first pixel to the last.
    """
    ratios = np.array(ratios)
    if rounded:
        widths = np.round(stride / np.sqrt(ratios))
        sides = np.stack([widths, np.round(widths * ratios)], 1) * (size / stride) - 1
        first = (stride - 1) / 2
    else:
        widths = size / np.sqrt(ratios)
        sides, first = np.stack([widths, widths * ratios], 1), 0
    y, x = np.meshgrid(np.arange(height) * stride + first, np.arange(width) * stride + first, indexing='ij')
    centre = np.stack([x, y], -1).reshape(-1, 1, 2)
    anchors = np.concatenate([centre - sides / 2, centre + sides / 2], -1).reshape(-1, 4).astype('float32')
    anchors.flags.writeable = False
    return anchors
