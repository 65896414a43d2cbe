"""Where a person is cut out of a picture: from a box to an affine map, and back (Xiao et al., 2018, section 3).

Points are ``(x, y)`` in pixels, whole numbers at the centres of pixels. A map is a float64 ``(2, 3)``: the point ``p``
of the crop lies at ``map[:, :2] @ p + map[:, 2]`` in the picture.
"""
import numpy as np
from PIL import Image

__all__ = ['crop_map', 'cut', 'inverse', 'mirrored', 'moved', 'regions']

PADDING = 1.25          # of a box, so that a person who sticks out of it is seen


def regions(boxes, aspect, padding=PADDING):
    """``(centres (N, 2), widths (N,))`` of what is cut out for boxes ``(N, 4)`` of left, top, width and height.

    A region has the box's centre, and the least width and height with ``aspect``, width / height, that hold the box,
    times ``padding``.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return boxes[:, :2] + boxes[:, 2:] / 2, padding * np.maximum(boxes[:, 2], boxes[:, 3] * aspect)


def crop_map(centre, width, size, angle=0.0):
    """The map of a crop of ``size``, height and width, of the region with this centre and width, turned by ``angle``
    degrees. That of the heat maps is the map of a crop of their size."""
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    linear = width / size[1] * np.array([[cosine, -sine], [sine, cosine]])
    middle = np.array([size[1], size[0]]) / 2
    return np.concatenate([linear, (centre - linear @ middle)[:, None]], -1)


def mirrored(placed, width):
    """The map of the mirror image of a crop of that width."""
    return np.stack([-placed[:, 0], placed[:, 1], placed[:, 2] + (width - 1) * placed[:, 0]], -1)


def moved(placed, points):
    """Where points ``(…, 2)`` of the crop lie in the picture."""
    return np.asarray(points) @ placed[:, :2].T + placed[:, 2]


def inverse(placed):
    """The map from the picture to the crop."""
    linear = np.linalg.inv(placed[:, :2])
    return np.concatenate([linear, -linear @ placed[:, 2:]], -1)


def cut(picture, placed, size):
    """The crop of ``size``, height and width, of a picture uint8 ``(H, W, 3)``: bilinear, and black outside of it."""
    # Pillow has whole numbers at the corners of pixels.
    offset = placed[:, 2] + 0.5 - placed[:, :2].sum(-1) / 2
    values = np.concatenate([placed[:, :2], offset[:, None]], -1).ravel().tolist()
    found = Image.fromarray(picture).transform((size[1], size[0]), Image.AFFINE, values, Image.BILINEAR)
    return np.asarray(found)
