"""Scores of a picture of any size: at one scale, or at several with the mirror image, in sliding crops.

They are a list of maps ``(1, classes, h, w)``, NDArrays, for :func:`.evaluation.labelled`, which resizes them to the
picture and adds them up.
Several scales are those of gluoncv's MultiEvalModel: pictures are resized with aligned corners, the scores of a crop
are the exponentials of its logits and its mirror image's logits added up, crops that overlap are averaged, and the
scores of all scales are added up.
"""
import math

import mxnet as mx
import numpy as np
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data.images.transforms import FILTERS
from resnest.gluon.device import require_memory
from resnest.gluon.models.resnet import smallest_side

from ..data.transforms import with_longer_side

__all__ = ['SCALES', 'MultiScale', 'SingleScale', 'require_room']

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
STEP = 2 / 3        # of a crop's side, to the next crop
FLOATS, LOGITS = 4, 2       # bytes; arrays of the size of the logits: they, and what is computed of them
MOST_VALUES = 2 ** 31 - 2   # of an array in mxnet
LARGEST = 80.0      # logit whose exponential, and some sums of it, float32 still holds


class SingleScale:
    """Takes uint8 ``(1, H, W, 3)``, returns a map of logits, in a list.

    The network sees the whole picture with about ``spec.base_size`` pixels on its longer side, which is the middle of
    what it saw in training. Both sides differ from ``spec.crop_size`` by whole output strides: with aligned corners the
    last stage's positions are 8 pixels apart where a side has 161, and 8.4 where it has 160. In pictures of another
    remainder than the crops' the map would lie beside what it shows.

    Parameters
    ----------
    net : callable
        From uint8 ``(N, h, w, 3)`` to logits ``(N, classes, h, w)``, NDArrays.
    spec : SegmentationSpec
    device : Context
    """

    def __init__(self, net, spec, device):
        self._net, self._spec, self._device = net, spec, device

    def __call__(self, images):
        height, width = images.shape[1:3]
        scaled = with_longer_side((width, height), self._spec.base_size)
        size = tuple(self._like_crops(side) for side in scaled)
        require_room(f'base size {self._spec.base_size}', size, self._spec, self._device)
        pixels = _resampled(images[0], size, self._spec)
        return [self._net(mx.nd.array(pixels[None], ctx=self._device, dtype='uint8'))]

    def _like_crops(self, side):
        """The nearest length that a network takes and that differs from a crop's by whole strides."""
        crop, stride = self._spec.crop_size, self._spec.output_stride
        return crop + stride * max(round((side - crop) / stride), math.ceil((smallest_side(stride) - crop) / stride))


class MultiScale:
    """Takes uint8 ``(1, H, W, 3)``, returns a map for each scale, in a list.

    Parameters
    ----------
    net, spec, device
        As for :class:`SingleScale`; the network sees crops of ``spec.crop_size``.
    scales : sequence of float
        Of the longer side, relative to ``spec.base_size``.
    crops : int
        So many at a time, each with its mirror image.
    """

    def __init__(self, net, spec, device, scales=SCALES, crops=2):
        self._net, self._spec, self._device = net, spec, device
        self._scales, self._crops = scales, crops

    def __call__(self, images):
        height, width = images.shape[1:3]
        sizes = [with_longer_side((width, height), math.ceil(self._spec.base_size * scale)) for scale in self._scales]
        require_room(f'base size {self._spec.base_size}', max(sizes), self._spec, self._device)
        return [self._at_one_scale(_stretched(images[0], size)) for size in sizes]

    def _at_one_scale(self, pixels):
        """A map ``(1, classes, h, w)`` of uint8 ``(h, w, 3)``."""
        side, (height, width) = self._spec.crop_size, pixels.shape[:2]
        corners = [(top, left) for top in _starts(height, side) for left in _starts(width, side)]
        canvas = np.zeros((corners[-1][0] + side, corners[-1][1] + side, 3), dtype=np.uint8)    # black beyond
        canvas[:height, :width] = pixels
        total = mx.nd.zeros((1, self._spec.classes, *canvas.shape[:2]), ctx=self._device)
        times = np.zeros((1, 1, *canvas.shape[:2]), dtype=np.float32)
        # A few at a time: 150 classes of all crops of one picture would take gigabytes.
        for start in range(0, len(corners), self._crops):
            some = corners[start:start + self._crops]
            crops = np.stack([canvas[top:top + side, left:left + side] for top, left in some])
            for (top, left), each in zip(some, self._scores(crops)):
                total[:, :, top:top + side, left:left + side] += each.expand_dims(0)
                times[:, :, top:top + side, left:left + side] += 1
        return (total / mx.nd.array(times, ctx=self._device))[:, :, :height, :width]

    def _scores(self, crops):
        """``(n, classes, side, side)`` of uint8 ``(n, side, side, 3)``."""
        both = np.concatenate([crops, crops[:, :, ::-1]])
        logits = self._net(mx.nd.array(both, ctx=self._device, dtype='uint8'))
        together = logits[:len(crops)] + logits[len(crops):].flip(axis=3)
        nothing = (together * 0).sum()      # NaN where any is not finite, which the minimum would hide
        return mx.nd.minimum(together, LARGEST).exp() + nothing


def _starts(length, side):
    """Where the crops of ``side`` pixels begin that cover ``length`` pixels."""
    step = max(1, int(side * STEP))
    return [step * number for number in range(1 + max(0, math.ceil((length - side) / step)))]


def require_room(option, size, spec, device):
    """Raise InputError where the logits of ``size`` (width, height) that an option asks for have no room."""
    what = f'{option}: a map of {size[0]} x {size[1]} pixels with {spec.classes} classes'
    count = spec.classes * size[0] * size[1]
    if count > MOST_VALUES:
        raise InputError(f'{what} is more than an array of MXNet holds; use a smaller one')
    require_memory(FLOATS * LOGITS * count, device, what, 'use a smaller one')


def _stretched(pixels, size):
    """uint8 ``(h, w, 3)`` at another width and height, between the nearest pixels, with aligned corners."""
    if pixels.shape[1::-1] == size:
        return pixels
    array = mx.nd.array(pixels.transpose(2, 0, 1)[None])
    found = mx.nd.contrib.BilinearResize2D(array, width=size[0], height=size[1]).asnumpy()[0]
    return found.round().astype(np.uint8).transpose(1, 2, 0)


def _resampled(pixels, size, spec):
    """uint8 ``(h, w, 3)`` at another width and height."""
    return pixels if pixels.shape[1::-1] == size else np.asarray(
        Image.fromarray(pixels).resize(size, FILTERS[spec.interpolation]))
