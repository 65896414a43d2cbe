"""CutMix (Yun et al., 2019, https://arxiv.org/abs/1905.04899): a box of each image shows another one."""
import math

import numpy as np

from resnest.gluon.streams import CUTMIX, generator

__all__ = ['draw', 'paste', 'shares']


def draw(seed, epoch, indices, height, width, alpha=1.0, mode='sample'):
    """The box in each image that will show the other one: rows ``(top, left, bottom, right)``, ints ``(N, 4)``.

    Its sides are ``sqrt(1 - lam)`` of the image's, with ``lam`` from Beta(alpha, alpha); its middle is anywhere in the
    image, and what lies beyond the border is cut off (section 3.1). A sample's box depends on (seed, epoch, its index
    in the data) alone. With ``mode='batch'`` all samples have the first one's, as the paper has it.
    """
    if mode == 'batch':
        return np.repeat(draw(seed, epoch, indices[:1], height, width, alpha), len(indices), axis=0)
    return np.array([_box(generator(CUTMIX, seed, epoch, index), height, width, alpha) for index in indices])


def _box(rng, height, width, alpha):
    side = math.sqrt(1 - rng.beta(alpha, alpha))
    y, x = rng.uniform(0, height), rng.uniform(0, width)
    return (max(0, round(y - side * height / 2)), max(0, round(x - side * width / 2)),
            min(height, round(y + side * height / 2)), min(width, round(x + side * width / 2)))


def paste(images, boxes):
    """A copy of ``images``, NumPy ``(N, H, W, C)``, in which each one's box shows the image at its place in the
    reversed batch."""
    found = images.copy()
    for image, other, (top, left, bottom, right) in zip(found, images[::-1], boxes):
        image[top:bottom, left:right] = other[top:bottom, left:right]
    return found


def shares(boxes, height, width):
    """The share of its own image in each one that :func:`paste` returns, by area: float32 ``(N,)``."""
    top, left, bottom, right = boxes.T
    return (1 - (bottom - top) * (right - left) / (height * width)).astype('float32')
