"""Crops of people with the heat maps that are learned (Xiao et al., 2018, section 3; gluoncv's recipe).

A transform takes ``(picture, box, points, rng)``: uint8 ``(H, W, 3)``, left, top, width and height, x, y and visibility
``(J, 3)``, and a numpy Generator.
"""
import numpy as np

from ..heatmaps import targets
from ..placing import crop_map, cut, inverse, mirrored, moved, regions

__all__ = ['Plain', 'Training']

TURNED = 0.6            # probability of a rotation
MOST_TURNED = 2         # rotations are clipped at so many standard deviations


class Plain:
    """The crop of a person as the network sees it when it is asked: ``(crop uint8 (height, width, 3), map)``.

    The map, float64 ``(2, 3)``, is that of :func:`..placing.crop_map` for heat maps of ``spec.map_size``.
    """
    draws = False

    def __init__(self, spec):
        self.size, self.map_size = (spec.height, spec.width), spec.map_size

    def __repr__(self):
        return f'Plain({self.size}, {self.map_size})'

    def __call__(self, picture, box, points=None, rng=None):
        centre, width = (each[0] for each in regions(box, self.size[1] / self.size[0]))
        return (cut(picture, crop_map(centre, width, self.size), self.size), crop_map(centre, width, self.map_size))


class Training:
    """A crop at a random size and angle, or its mirror image: ``(crop, maps (J, h, w), weights (J,))``.

    Parameters
    ----------
    spec : PoseSpec
    pairs : sequence of pairs of int
        The joints that change places in a mirror.
    scale : float
        Standard deviation of the factor of the region's size, which is clipped at one such deviation from 1.
    rotation : float
        Standard deviation of the angle in degrees, which is clipped at two; it is drawn with probability 0.6.
    flip : float
        Probability of the mirror image.
    """

    def __init__(self, spec, pairs, scale=0.25, rotation=30.0, flip=0.5):
        self.size, self.map_size, self.sigma = (spec.height, spec.width), spec.map_size, spec.sigma
        self.order = np.arange(spec.joints)
        for left, right in pairs:
            self.order[[left, right]] = right, left
        self.scale, self.rotation, self.flip = scale, rotation, flip

    def __repr__(self):
        return (f'Training({self.size}, {self.map_size}, sigma={self.sigma}, scale={self.scale}, '
                f'rotation={self.rotation}, flip={self.flip})')

    def __call__(self, picture, box, points, rng):
        # Always as many numbers, so that those of one choice do not depend on another's.
        size, angle, turned, flipped = (*rng.normal(size=2), *rng.random(2))
        (height, width), limit = self.size, MOST_TURNED
        centre, extent = (each[0] for each in regions(box, width / height))
        extent *= 1 + self.scale * np.clip(size, -1, 1)
        placed = crop_map(centre, extent, self.size,
                          self.rotation * np.clip(angle, -limit, limit) if turned < TURNED else 0.0)
        if flipped < self.flip:
            placed, points = mirrored(placed, width), points[self.order]
        maps, weights = targets(moved(inverse(placed), points[:, :2]), points[:, 2] > 0, self.map_size,
                                height / self.map_size[0], self.sigma)
        return cut(picture, placed, self.size), maps, weights
