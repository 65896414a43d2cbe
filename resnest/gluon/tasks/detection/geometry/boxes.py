"""Boxes ``(x0, y0, x1, y1)`` in continuous pixels: pixel ``(i, j)`` covers ``[j, j + 1] × [i, i + 1]``, so that a width
is ``x1 - x0`` without a one. Arrays are ``(…, 4)`` and float32.

The coding by differences is that of R-CNN (Girshick et al., 2014, https://arxiv.org/abs/1311.2524, appendix C).
"""
import math

import numpy as np

__all__ = ['areas', 'are_whole', 'clip', 'decode', 'encode', 'overlaps', 'paired_overlaps', 'rescale']

GROWTH = math.log(1000 / 16)
UNIT = (1.0, 1.0, 1.0, 1.0)


def areas(boxes):
    """The areas ``(…)``; zero where a width or a height is not above zero."""
    return _areas(np.moveaxis(boxes, -1, 0))


def are_whole(boxes):
    """Whether each box is finite, with a width and a height above zero: ``(…)`` of bool."""
    with np.errstate(invalid='ignore'):
        return np.isfinite(boxes).all(-1) & (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])


def overlaps(boxes, others):
    """Intersection over union of each of ``(R, 4)`` with each of ``(S, 4)``: ``(R, S)``, zero for empty boxes."""
    return _overlaps(boxes.T[:, :, None], others.T[:, None])


def paired_overlaps(boxes, others):
    """The same of each of ``(R, 4)`` with its own of ``(R, 4)``: ``(R,)``."""
    return _overlaps(boxes.T, others.T)


def encode(boxes, targets, weights=UNIT):
    """The differences ``(R, 4)`` by which ``boxes`` become ``targets``, both ``(R, 4)``: of the centre in widths and
    heights, and of the logarithms of width and height, each times its weight."""
    centre, size = _centres(boxes)
    target, target_size = _centres(targets)
    deltas = np.concatenate([(target - centre) / size, np.log(target_size / size)], -1)
    return (deltas * np.asarray(weights)).astype('float32')


def decode(deltas, boxes, weights=UNIT, growth=GROWTH):
    """The boxes ``(R, K, 4)`` that K differences make of each box: the inverse of :func:`encode`.

    ``deltas`` is ``(R, 4 K)``, ``boxes`` ``(R, 4)``. A side grows by at most the exponential of ``growth``, which is
    62.5 times its length unless given; what is not finite stays so.
    """
    deltas = deltas.reshape(len(boxes), -1, 4) / np.asarray(weights, 'float32')
    with np.errstate(over='ignore', invalid='ignore'):
        centre, size = (part[:, None] for part in _centres(boxes))
        centre = centre + deltas[..., :2] * size
        half = size * np.exp(np.minimum(deltas[..., 2:], np.float32(growth))) / 2
        return np.concatenate([centre - half, centre + half], -1)


def clip(boxes, height, width):
    """The parts of ``(…, 4)`` inside of an image, or each inside of its own: ``height`` and ``width`` of shape ``()``
    or ``(…)``."""
    return np.clip(boxes, 0, np.stack([width, height, width, height], -1).astype('float32'))


def rescale(boxes, size, target):
    """Boxes ``(…, 4)`` of an image of ``size`` (height, width) in one of the size ``target``, clipped to it."""
    (height, width), (to_height, to_width) = size, target
    factors = np.array([to_width / width, to_height / height] * 2, 'float32')
    return clip(boxes * factors, to_height, to_width)


def _overlaps(one, other):
    with np.errstate(over='ignore', invalid='ignore'):
        common = np.minimum(one[2], other[2])
        common -= np.maximum(one[0], other[0])
        height = np.minimum(one[3], other[3])
        height -= np.maximum(one[1], other[1])
        common = np.maximum(common, 0, out=common) * np.maximum(height, 0, out=height)
        union = _areas(one) + _areas(other)
        union -= common
        return np.divide(common, union, out=np.zeros_like(common), where=common > 0)


def _areas(sides):
    return np.maximum(sides[2] - sides[0], 0) * np.maximum(sides[3] - sides[1], 0)


def _centres(boxes):
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + size / 2, size
