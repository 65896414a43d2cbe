"""From an encoded image to a uint8 array: the evaluation crop, and the standard training augmentation.

A transform takes ``(image: PIL.Image, rng: numpy Generator)`` and returns a uint8 array ``(size, size, 3)``.
Normalization is the network's first operator, on the device (:func:`with_normalization`).
"""
import io
import math

import numpy as np
from mxnet.gluon import nn
from mxnet.gluon.data.vision import transforms
from PIL import Image

from resnest.errors import InputError

__all__ = ['Evaluation', 'Standard', 'decode', 'with_normalization']

# Of the ImageNet training set, on a scale of 0 to 1 (RGB).
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
FILTERS = {'bilinear': Image.BILINEAR, 'bicubic': Image.BICUBIC}


def decode(data, where):
    """The RGB image of encoded bytes; raises InputError that names ``where``."""
    try:
        return Image.open(io.BytesIO(data)).convert('RGB')
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f'{where}: not a readable image ({error})') from None


def with_normalization(net):
    """``net`` behind the operators that take uint8 ``(N, H, W, 3)`` to the values that it was trained on."""
    whole = nn.HybridSequential()
    whole.add(transforms.ToTensor(), transforms.Normalize(MEAN, STD), net)
    return whole


class Evaluation:
    """Resize the short edge to ``size / ratio`` and take the central ``size`` × ``size``."""

    def __init__(self, size, ratio=0.875, interpolation='bilinear'):
        if size < 1:
            raise InputError(f'the image size must be at least 1 px, got {size}')
        if not 0 < ratio <= 1:
            raise InputError(f'the crop ratio must be above 0 and at most 1, got {ratio}')
        self.size = size
        self.ratio = ratio
        self.filter = FILTERS[interpolation]

    def __call__(self, image, rng=None):
        width, height = image.size
        short = max(self.size, int(self.size / self.ratio))
        scale = short / min(width, height)
        new_width, new_height = max(short, int(width * scale)), max(short, int(height * scale))
        left, top = (new_width - self.size) // 2, (new_height - self.size) // 2
        # One resampling of the region that the crop will show, instead of the whole picture and then a crop.
        x, y = width / new_width, height / new_height
        box = (left * x, top * y, (left + self.size) * x, (top + self.size) * y)
        return np.asarray(image.resize((self.size, self.size), self.filter, box))


class Standard:
    """Random resized crop (8 to 100 % of the area, aspect 3/4 to 4/3) and a random mirror (Szegedy et al., 2015)."""

    def __init__(self, size, interpolation='bilinear'):
        if size < 1:
            raise InputError(f'the image size must be at least 1 px, got {size}')
        self.size = size
        self.filter = FILTERS[interpolation]

    def __call__(self, image, rng):
        box = random_crop_box(*image.size, rng)
        pixels = np.asarray(image.resize((self.size, self.size), self.filter, box))
        return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def random_crop_box(width, height, rng, scale=(0.08, 1.0), aspect=(3 / 4, 4 / 3)):
    """``(left, top, right, bottom)`` of a random crop; the whole short edge where ten draws do not fit."""
    for _ in range(10):
        area = width * height * rng.uniform(*scale)
        ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
            return left, top, left + w, top + h
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
