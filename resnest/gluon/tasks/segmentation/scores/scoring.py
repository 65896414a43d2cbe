"""Scores of each pixel of a picture of any size: at one scale, or at several with the mirror image, in sliding crops.

Several scales are those of gluoncv's MultiEvalModel: the scores of a crop are the exponentials of its logits and its
mirror image's logits added up, crops that overlap are averaged, and the scores of all scales are added up.
"""
import math

import mxnet as mx
import numpy as np
from PIL import Image

from resnest.gluon.data.images.transforms import FILTERS
from resnest.gluon.models.resnet import smallest_side

from ..data.transforms import with_longer_side
from ..resizing import resize_to

__all__ = ['SCALES', 'MultiScale', 'SingleScale']

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
STEP = 2 / 3        # of a crop's side, to the next crop
LARGEST = 80.0      # logit whose exponential, and some sums of it, float32 still holds


class SingleScale:
    """Takes uint8 ``(1, H, W, 3)``, returns the logits ``(1, classes, H, W)``, an NDArray.

    The network sees the whole picture with ``spec.base_size`` pixels on its longer side, which is the middle of what it
    saw in training; its logits are resized to the picture. Of a picture so narrow that no network takes it, the shorter
    side is stretched.

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
        pixels = _with_longer_side(images[0], self._spec.base_size, self._spec,
                                    smallest_side(self._spec.output_stride))
        logits = self._net(mx.nd.array(pixels[None], ctx=self._device, dtype='uint8'))
        return logits if logits.shape[2:] == (height, width) else resize_to(mx.nd, logits, height, width)


class MultiScale:
    """Takes uint8 ``(1, H, W, 3)``, returns scores ``(1, classes, H, W)``, an NDArray, the highest the likeliest.

    Parameters
    ----------
    net, spec, device
        As for :class:`SingleScale`; the network sees crops of ``spec.crop_size``.
    scales : sequence of float
        Of the longer side, relative to ``spec.base_size``.
    batch_size : int
        Crops at a time.
    """

    def __init__(self, net, spec, device, scales=SCALES, batch_size=4):
        self._net, self._spec, self._device = net, spec, device
        self._scales, self._batch_size = scales, batch_size

    def __call__(self, images):
        height, width = images.shape[1:3]
        total = 0
        for scale in self._scales:
            pixels = _with_longer_side(images[0], math.ceil(self._spec.base_size * scale), self._spec)
            total = total + resize_to(mx.nd, self._at_one_scale(pixels), height, width)
        return total

    def _at_one_scale(self, pixels):
        """Scores ``(1, classes, h, w)`` of uint8 ``(h, w, 3)``."""
        side, (height, width) = self._spec.crop_size, pixels.shape[:2]
        corners = [(top, left) for top in _starts(height, side) for left in _starts(width, side)]
        canvas = np.zeros((corners[-1][0] + side, corners[-1][1] + side, 3), dtype=np.uint8)    # black beyond
        canvas[:height, :width] = pixels
        crops = np.stack([canvas[top:top + side, left:left + side] for top, left in corners])
        both = np.concatenate([crops, crops[:, :, ::-1]])
        logits = mx.nd.concat(*(self._net(mx.nd.array(both[start:start + self._batch_size], ctx=self._device,
                                                      dtype='uint8'))
                                for start in range(0, len(both), self._batch_size)), dim=0)
        together = logits[:len(crops)] + logits[len(crops):].flip(axis=3)
        nothing = (together * 0).sum()      # NaN where any is not finite, which the minimum would hide
        scores = mx.nd.minimum(together, LARGEST).exp() + nothing
        total = mx.nd.zeros((1, scores.shape[1], *canvas.shape[:2]), ctx=self._device)
        times = np.zeros((1, 1, *canvas.shape[:2]), dtype=np.float32)
        for (top, left), each in zip(corners, scores):
            total[:, :, top:top + side, left:left + side] += each.expand_dims(0)
            times[:, :, top:top + side, left:left + side] += 1
        return (total / mx.nd.array(times, ctx=self._device))[:, :, :height, :width]


def _starts(length, side):
    """Where the crops of ``side`` pixels begin that cover ``length`` pixels."""
    step = math.ceil(side * STEP)
    return [step * number for number in range(1 + max(0, math.ceil((length - side) / step)))]


def _with_longer_side(pixels, longest, spec, least=1):
    """uint8 ``(h, w, 3)`` resampled to a longer side of ``longest`` pixels, and a shorter one of at least ``least``."""
    size = pixels.shape[1::-1]
    scaled = tuple(max(side, least) for side in with_longer_side(size, longest))
    return pixels if scaled == size else np.asarray(Image.fromarray(pixels).resize(scaled, FILTERS[spec.interpolation]))
