"""The transform of training images: random crop, mirror, policy, colour, erasing (sections 4.1 and 5.1).

What is drawn at random comes from the generator that a transform is given, in the order of the steps.
"""
import math

import numpy as np
from PIL import Image

from resnest.errors import InputError

from .auto_augment import AutoAugment
from .colour import jitter_and_light, make_ready
from .rand_augment import RandAugment
from .transforms import FILTERS, crop

__all__ = ['Erasing', 'Training', 'training_transform']

# Of random erasing (Zhong et al., 2017, https://arxiv.org/abs/1708.04896, section 4.2): its share of the image, and its
# height divided by its width.
AREA = (0.02, 0.4)
ASPECT = (0.3, 1 / 0.3)


def training_transform(name, size, interpolation='bilinear', evaluation=None, randaugment=(2, 9), erasing=0.0,
                       **settings):
    """The transform of ``'standard'``, ``'autoaugment'``, ``'randaugment'`` or ``'none'``, the ``evaluation`` crop.

    ``randaugment`` are the parameters of :class:`RandAugment`, ``erasing`` is the probability of :class:`Erasing`,
    which works on each of them, and ``settings`` are further parameters of :class:`Training`.
    """
    if name == 'none':
        transform = evaluation
    else:
        policy = {'standard': None, 'autoaugment': AutoAugment(), 'randaugment': RandAugment(*randaugment)}[name]
        transform = Training(size, interpolation, policy, **settings)
    return Erasing(transform, erasing) if erasing else transform


class Training:
    """Random resized crop, mirror, policy, colour jitter and PCA lighting, as the paper has them by default.

    Parameters
    ----------
    size : int
        Side of the result in pixels.
    interpolation : {'bilinear', 'bicubic'}
    policy : callable
        ``policy(image, rng)`` on the crop, as Cubuk et al. do it; None for none.
    hflip : float
        Probability of the mirror image.
    scale, ratio : pair of float
        Least and largest share of the area that the crop has, and its width divided by its height (Szegedy et al.,
        2015).
    jitter : float
        Brightness, contrast and saturation change by a factor from ``1 - jitter`` to ``1 + jitter``, each; the standard
        deviation of the lighting (Krizhevsky et al., 2012) is a quarter of it, 0.1 as usual for 0.4. 0 leaves the
        colours as they are.

    Raises InputError for a size below 1 px.
    """

    def __init__(self, size, interpolation='bilinear', policy=None, hflip=0.5, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3),
                 jitter=0.4):
        if size < 1:
            raise InputError(f'the image size must be at least 1 px, got {size}')
        self.size = size
        self.interpolation = interpolation
        self.filter = FILTERS[interpolation]
        self.policy = policy
        self.hflip = hflip
        self.scale, self.ratio = scale, ratio
        self.jitter = jitter
        if jitter:
            make_ready()

    def __repr__(self):
        return (f"Training({self.size}, '{self.interpolation}', policy={self.policy!r}, hflip={self.hflip:g}, "
                f'scale={tuple(self.scale)}, ratio=({self.ratio[0]:.4g}, {self.ratio[1]:.4g}), jitter={self.jitter:g})')

    def __call__(self, image, rng):
        box = random_crop_box(*image.size, rng, self.scale, self.ratio)
        image = crop(image, box, self.size, self.filter)
        if rng.random() < self.hflip:
            image = image.transpose(Image.FLIP_LEFT_RIGHT)
        if self.policy:
            image = self.policy(image, rng)
        return jitter_and_light(image, rng, self.jitter, self.jitter / 4) if self.jitter else np.asarray(image)


class Erasing:
    """Random erasing behind another transform (Zhong et al., 2017, algorithm 1).

    With ``probability`` a rectangle of 2 to 40 % of the area and an aspect (height / width) of 0.3 to 3.33, both drawn
    evenly, at any place where it lies within the image, is filled with random values, 0 to 255 for each pixel and
    channel: the variant that the authors found best (RE-R).
    """

    def __init__(self, transform, probability):
        self.transform = transform
        self.probability = probability

    def __repr__(self):
        return f'Erasing({self.transform!r}, probability={self.probability:g})'

    def __call__(self, image, rng):
        pixels = self.transform(image, rng)
        if rng.random() >= self.probability:
            return pixels
        height, width = pixels.shape[:2]
        while True:
            area, aspect = height * width * rng.uniform(*AREA), rng.uniform(*ASPECT)
            h, w = max(1, round(math.sqrt(area * aspect))), max(1, round(math.sqrt(area / aspect)))
            if h <= height and w <= width:
                break
        top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
        pixels = np.array(pixels)       # Pillow's own is not to be written to
        pixels[top:top + h, left:left + w] = rng.integers(256, size=(h, w, pixels.shape[2]), dtype=np.uint8)
        return pixels


def random_crop_box(width, height, rng, scale=(0.08, 1.0), aspect=(3 / 4, 4 / 3)):
    """``(left, top, right, bottom)`` of a random crop; the central square where ten draws do not fit."""
    for _ in range(10):
        area = width * height * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
