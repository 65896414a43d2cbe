"""From an encoded image to a uint8 array: the evaluation crop. The training images' is :mod:`.augmentation`'s.

A transform takes ``(image, rng: numpy Generator)`` and returns a uint8 array ``(size, size, 3)``; the image is a
:class:`.Picture`, which follows the rule of its data set, or a PIL image, whose EXIF orientation is left alone.
Normalization is the network's first operator, on the device (:func:`with_normalization`).
"""
import math

import mxnet as mx
import numpy as np
from mxnet.gluon import nn
from mxnet.gluon.data.vision import transforms
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.checking import check_count, check_share

from .decoding import Picture

__all__ = ['Evaluation', 'interpolation_for', 'normalization', 'preprocessing', 'statistics', 'with_normalization']

# Of the ImageNet training set, on a scale of 0 to 1 (RGB): for networks that name no others.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
FILTERS = {'bilinear': Image.BILINEAR, 'bicubic': Image.BICUBIC}


def with_normalization(net, dtype='float32'):
    """``net`` behind the operators that take uint8 ``(N, H, W, 3)`` to the values that it was trained on.

    Raises InputError for a network of other than RGB images and, when called, for what is no batch of such pixels or
    too small for the network (``net.smallest``).
    """
    channels = getattr(net, 'in_channels', 3)
    if channels != 3:
        raise InputError(f'the network takes images of {channels} channels, and mean and std are those of three: '
                         'normalize them yourself')
    whole = _Pixels()
    whole.add(normalization(*statistics(net)))
    if dtype != 'float32':
        whole.add(transforms.Cast(dtype))
    whole.add(net)
    return whole


class _Pixels(nn.HybridSequential):
    """Operators and a network in a row, which are given pixels."""

    def forward(self, x):
        if isinstance(x, mx.sym.Symbol):
            return super().forward(x)
        if not isinstance(x, mx.nd.NDArray):
            raise InputError(f"the network takes pixels as an NDArray, got {type(x).__name__}: mx.nd.array(x, "
                             "dtype='uint8') makes one of an array")
        least = getattr(self[-1], 'smallest', 1)
        if x.ndim != 4 or x.shape[3] != 3:
            raise InputError(f'the network takes pixels (N, H, W, 3), got {x.shape}')
        if min(x.shape[1:3]) < least:
            raise InputError(f'the network takes images of at least {least} x {least} px, got {x.shape[1]} x '
                             f'{x.shape[2]}')
        return super().forward(x)


def statistics(net):
    """``(mean, std)`` of the pixels that a network wants (``net.spec``), RGB on a scale of 0 to 1; ImageNet's else."""
    spec = getattr(net, 'spec', None)
    return getattr(spec, 'mean', MEAN), getattr(spec, 'std', STD)


def normalization(mean=MEAN, std=STD):
    """A block from uint8 ``(N, H, W, 3)`` to normalized float32 ``(N, 3, H, W)``: ``(x / 255 - mean) / std``."""
    block = nn.HybridSequential()
    block.add(transforms.ToTensor(), transforms.Normalize(mean, std))
    block.hybridize()
    return block


def interpolation_for(size):
    """The filter for a crop of ``size`` pixels where no model names one: bicubic above 256 (section 5.1)."""
    return 'bicubic' if size > 256 else 'bilinear'


def preprocessing(spec, size=None, ratio=None):
    """``(size, ratio, interpolation)`` for :class:`Evaluation`: what is given, otherwise what the model wants.

    ``spec`` is the model's row (``net.spec``). Its interpolation is that of its own size; at any other size it is
    :func:`interpolation_for`'s.
    """
    size = spec.crop_size if size is None else size
    interpolation = spec.interpolation if size == spec.crop_size else interpolation_for(size)
    return size, spec.crop_ratio if ratio is None else ratio, interpolation


class Evaluation:
    """Resize the short edge to ``size / ratio``, rounded up, and take the central ``size`` × ``size``."""

    draws = False       # nothing at random: ``rng`` may be None

    def __init__(self, size, ratio=0.875, interpolation='bilinear'):
        check_count('the image size', size)
        check_share('the crop ratio', ratio)
        self.size = size
        self.ratio = ratio
        self.interpolation = interpolation
        self.filter = FILTERS[interpolation]

    def __repr__(self):
        return f"Evaluation({self.size}, ratio={self.ratio:.4g}, interpolation='{self.interpolation}')"

    def __call__(self, image, rng=None):
        width, height = image.size
        short = math.ceil(round(self.size / self.ratio, 6))     # 224 / 0.7 is a little more than 320
        new_width, new_height = (side * short // min(width, height) for side in (width, height))
        left, top = (new_width - self.size) // 2, (new_height - self.size) // 2
        # One resampling of the region that the crop will show, instead of the whole picture and then a crop.
        x, y = width / new_width, height / new_height
        box = (left * x, top * y, (left + self.size) * x, (top + self.size) * y)
        return np.asarray(crop(image, box, self.size, self.filter))


def crop(image, box, size, interpolation):
    """``box`` of a :class:`.Picture` or a PIL image, resampled to ``size`` × ``size`` RGB."""
    image = (image if isinstance(image, Picture) else Picture(image)).resampled(box, (size, size), interpolation)
    image.info = {}     # nothing of it is asked for any more, and damaged metadata can be anything
    return image
