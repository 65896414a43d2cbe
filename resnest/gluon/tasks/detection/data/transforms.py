"""Picture and truth together: what detectors are trained on, as Detectron2 makes it.

A transform takes ``(picture, truth, rng)``, uint8 ``(H, W, 3)``, a :class:`.truth.Truth` and a numpy Generator, and
returns the first two.
"""
from dataclasses import replace

import numpy as np
from PIL import Image

from resnest.errors import InputError

from ..geometry.sizes import LONGEST_SIDE, seen_size

__all__ = ['Training', 'cropped', 'mirrored', 'resized']


class Training:
    """A random crop, a short side drawn, the mirror image.

    Parameters
    ----------
    short_sides : sequence of int
        Of the result, in pixels: one of them is drawn, or with ``between`` any whole number from the first to the last.
    long_side : int
        The result's is no longer: its short side is shorter then.
    between : bool
    flip : float
        Probability of the mirror image.
    crop : float
        Least share of the height and of the width that is left, each drawn evenly up to 1; None leaves all of it.

    Raises InputError for sides, a probability or a share out of range.
    """

    def __init__(self, short_sides=(800,), long_side=1333, between=False, flip=0.5, crop=None):
        short_sides = sorted(short_sides)
        if not short_sides or not all(1 <= side <= LONGEST_SIDE for side in (*short_sides, long_side)):
            raise InputError(f'the short and the long side must be from 1 to {LONGEST_SIDE} px, got {short_sides} and '
                             f'{long_side}')
        if not 0 <= flip <= 1 or crop is not None and not 0 < crop <= 1:
            raise InputError(f'the probability of a mirror image, and the share of a crop, must be from 0 to 1, got '
                             f'{flip} and {crop}')
        self.short_sides, self.long_side, self.between = short_sides, long_side, between
        self.flip, self.crop = flip, crop

    def __repr__(self):
        return (f'Training({self.short_sides}, {self.long_side}, between={self.between}, flip={self.flip}, '
                f'crop={self.crop})')

    def __call__(self, picture, truth, rng):
        if self.crop is not None:
            sides = [max(1, int(side * rng.uniform(self.crop, 1) + 0.5)) for side in picture.shape[:2]]
            corner = [int(rng.integers(whole - side + 1)) for whole, side in zip(picture.shape[:2], sides)]
            picture, truth = cropped(picture, truth, *corner, *sides)
        short_side = rng.integers(self.short_sides[0], self.short_sides[-1] + 1) if self.between else \
            rng.choice(self.short_sides)
        picture, truth = resized(picture, truth, *seen_size(*picture.shape[:2], int(short_side), self.long_side))
        if rng.random() < self.flip:
            picture, truth = mirrored(picture, truth)
        return picture, truth


def resized(picture, truth, height, width):
    """Both at a size in pixels: the picture by Pillow's bilinear filter, masks and kinds by their nearest pixels."""
    before, size = picture.shape[:2], (width, height)
    factors = np.array([width / before[1], height / before[0]])
    if before != (height, width):
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.BILINEAR))

    def nearest(array):
        return array if before == (height, width) else np.asarray(Image.fromarray(array).resize(size, Image.NEAREST))

    def mask(shape):
        return [(polygon * factors).astype(np.float32) for polygon in shape] if isinstance(shape, list) else \
            nearest(shape.view(np.uint8)).astype(bool)
    return picture, replace(truth, boxes=(truth.boxes * np.tile(factors, 2)).astype(np.float32),
                            masks=truth.masks and [mask(shape) for shape in truth.masks],
                            kinds=truth.kinds if truth.kinds is None else nearest(truth.kinds)).whole()


def mirrored(picture, truth):
    """Both with left and right exchanged."""
    width = picture.shape[1]
    left, top, right, bottom = truth.boxes.T

    def mask(shape):
        return [np.stack([width - polygon[:, 0], polygon[:, 1]], -1) for polygon in shape] \
            if isinstance(shape, list) else shape[:, ::-1]
    return picture[:, ::-1], replace(truth, boxes=np.stack([width - right, top, width - left, bottom], -1),
                                     masks=truth.masks and [mask(shape) for shape in truth.masks],
                                     kinds=truth.kinds if truth.kinds is None else truth.kinds[:, ::-1])


def cropped(picture, truth, top, left, height, width):
    """The part ``height`` × ``width`` of both from row ``top`` and column ``left`` on.

    Objects are left out of which nothing is left; the boxes of those with masks are those of what is left of the masks.
    """
    here = np.s_[top:top + height, left:left + width]
    offset, limits = np.array([left, top], np.float32), np.array([width, height], np.float32)
    boxes = (truth.boxes - np.tile(offset, 2)).clip(0, np.tile(limits, 2))
    masks = truth.masks
    if masks is not None:
        masks = [_inside(shape, offset, limits) if isinstance(shape, list) else shape[here] for shape in masks]
        boxes = np.array([_box(shape) for shape in masks], np.float32).reshape(-1, 4)
    return picture[here], replace(truth, boxes=boxes.astype(np.float32), masks=masks,
                                  kinds=truth.kinds if truth.kinds is None else truth.kinds[here]).whole()


def _inside(polygons, offset, limits):
    """The parts of polygons in a rectangle (Sutherland and Hodgman, 1974), from its corner on."""
    found = []
    for points in polygons:
        points = (points - offset).astype(np.float64)
        for axis in (0, 1):
            for sign, limit in ((1, 0.0), (-1, -float(limits[axis]))):
                points = _cut(points, axis, sign, limit)
        if len(points) >= 3:
            found.append(points.astype(np.float32))
    return found


def _cut(points, axis, sign, limit):
    """What of a polygon has ``sign`` times its coordinate at ``limit`` or above."""
    if not len(points):
        return points
    depth = sign * points[:, axis] - limit
    following, beyond = np.roll(points, -1, axis=0), np.roll(depth, -1)
    crossing = (depth >= 0) != (beyond >= 0)
    with np.errstate(divide='ignore', invalid='ignore'):
        share = np.where(crossing, depth / (depth - beyond), 0)
    places = points + share[:, None] * (following - points)
    places[crossing, axis] = sign * limit
    return np.stack([points, places], 1)[np.stack([depth >= 0, crossing], 1)]


def _box(shape):
    """The box around polygons or a mask; zeros where there is nothing."""
    if isinstance(shape, list):
        points = np.concatenate([np.zeros((0, 2)), *shape])
        return [*points.min(0), *points.max(0)] if len(points) else [0.0] * 4
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if len(rows) else [0.0] * 4
