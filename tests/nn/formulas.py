"""The operators of detection as slow loops in NumPy, in float64, and the cases that torchvision computed."""
import functools
import math

import numpy as np

from ..conftest import ROOT


@functools.cache
def torchvision_cases():
    with np.load(ROOT / 'tests' / 'expected' / 'detection_operators.npz') as arrays:
        return dict(arrays)


def torchvision_case(name):
    """The arrays of a case, by their names."""
    return {key[len(name) + 1:]: value for key, value in torchvision_cases().items() if key.startswith(name + '_')}


def bilinear(plane, y, x):
    """The value of a map at a point, every position outside of it being zero."""
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, row_weight in ((top, top + 1 - y), (top + 1, y - top)):
        for column, column_weight in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= row < plane.shape[-2] and 0 <= column < plane.shape[-1]:
                total = total + row_weight * column_weight * plane[..., row, column]
    return total


def roi_align(maps, regions, size, scale, ratio):
    """RoIAlign of regions that are whole: ``(R, C, size, size)``."""
    height, width = maps.shape[2:]
    found = np.zeros((len(regions), maps.shape[1], size, size))
    for region, (image, *box) in enumerate(np.float64(regions)):
        x0, y0, x1, y1 = (scale * side - 0.5 for side in box)
        if min(x1 - x0, y1 - y0) < 0 or ratio == 0 and min(x1 - x0, y1 - y0) == 0:
            continue
        rows, columns = (ratio or math.ceil(side / size) for side in (y1 - y0, x1 - x0))
        for i, j, row, column in np.ndindex(size, size, rows, columns):
            y = y0 + (y1 - y0) / size * (i + (row + 0.5) / rows)
            x = x0 + (x1 - x0) / size * (j + (column + 0.5) / columns)
            if -1 <= y <= height and -1 <= x <= width:
                y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
                found[region, :, i, j] += bilinear(maps[int(image)], y, x) / (rows * columns)
    return found


def deformable_convolution(x, offsets, modulation, weight, strides, padding, dilation, groups, parts):
    """Modulated deformable convolution: ``(N, O, H', W')``; ``parts`` are the deformable groups."""
    filters, depth, *kernel = weight.shape
    places = offsets.reshape(len(x), parts, *kernel, 2, *offsets.shape[2:])
    shares = np.ones((len(x), parts, *kernel, *offsets.shape[2:])) if modulation is None else \
        modulation.reshape(len(x), parts, *kernel, *offsets.shape[2:])
    found = np.zeros((len(x), filters, *offsets.shape[2:]))
    for n, part, i, j, row, column in np.ndindex(shares.shape):
        y = row * strides[0] - padding[0] + i * dilation[0] + places[n, part, i, j, 0, row, column]
        x_place = column * strides[1] - padding[1] + j * dilation[1] + places[n, part, i, j, 1, row, column]
        if not (-1 < y < x.shape[2] and -1 < x_place < x.shape[3]):
            continue
        for channel in range(part * x.shape[1] // parts, (part + 1) * x.shape[1] // parts):
            value = shares[n, part, i, j, row, column] * bilinear(x[n, channel], y, x_place)
            group = slice(channel // depth * (filters // groups), (channel // depth + 1) * (filters // groups))
            found[n, group, row, column] += value * weight[group, channel % depth, i, j]
    return found
