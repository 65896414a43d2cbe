"""The anchors of a level of the pyramid (Lin et al., 2017, https://arxiv.org/abs/1612.03144, section 4.1).

They sit on the top left corners of the cells, as in Detectron2, or in their middle, as in gluoncv.
"""
import functools

import numpy as np

__all__ = ['grid']


@functools.lru_cache(maxsize=64)
def grid(height, width, stride, size, ratios=(0.5, 1.0, 2.0), offset=0.0):
    """The anchors of a map of ``height × width`` cells: ``(height * width * len(ratios), 4)``, in the order of rows,
    columns, ratios, and not to be written to.

    ``stride`` is the side of a cell in pixels, ``size`` the side of a square anchor, ``ratios`` are those of height to
    width at the same area, and ``offset`` is where in its cell an anchor has its centre, 0 to 1.
    """
    widths = np.sqrt(size ** 2 / np.array(ratios))
    half = np.stack([widths, np.array(ratios) * widths], 1) / 2
    y, x = np.meshgrid((np.arange(height) + offset) * stride, (np.arange(width) + offset) * stride, indexing='ij')
    centre = np.stack([x, y], -1).reshape(-1, 1, 2)
    anchors = np.concatenate([centre - half, centre + half], -1).reshape(-1, 4).astype('float32')
    anchors.flags.writeable = False
    return anchors
