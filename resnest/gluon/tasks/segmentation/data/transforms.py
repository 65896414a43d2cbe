"""Image and map together: the random crop of training, and what evaluation sees.

A transform takes ``(picture, labels, rng)``, a :class:`resnest.gluon.data.images.decoding.Picture`, its labels
``(H, W)`` and a numpy Generator, and returns ``(pixels uint8 (h, w, 3), labels (h, w))``. The image is resampled, of
the map the nearest pixel is taken; where there is no image, it is black and its labels are ignored. The recipe is that
of gluoncv 0.10.5, with which the published networks were trained.
"""
import numpy as np
from PIL import Image, ImageFilter

from resnest.errors import InputError
from resnest.gluon.data.images.colour import jitter_and_light, make_ready
from resnest.gluon.data.images.transforms import FILTERS

from .legend import IGNORED

__all__ = ['CentralCrop', 'RandomCrop', 'Whole', 'crop_both', 'nearest', 'padded']

LARGEST = 1 << 14        # pixels of a side; more would be given by the system, and then not be there


class RandomCrop:
    """A random scale, the mirror image, a random crop and blur, as gluoncv's training has them by default.

    Parameters
    ----------
    crop_size : int
        Side of the result in pixels; a smaller image is padded on its right and below.
    base_size : int
        The longer side of the image gets from ``scale[0]`` to ``scale[1]`` times as many pixels, drawn evenly.
    scale : pair of float
    hflip, blur : float
        Probabilities of the mirror image, and of a Gaussian blur whose radius is drawn from 0 to 1 pixels (as Zhao et
        al., 2017, https://arxiv.org/abs/1612.01105, section 5.1).
    jitter : float
        Brightness, contrast and saturation change by a factor from ``1 - jitter`` to ``1 + jitter``, each; gluoncv's
        recipe has none.
    interpolation : {'bilinear', 'bicubic'}

    Raises InputError for sizes below 1 px or above 16384, and for a scale that is none.
    """

    def __init__(self, crop_size, base_size=520, scale=(0.5, 2.0), hflip=0.5, blur=0.5, jitter=0.0,
                 interpolation='bilinear'):
        _refuse_size('crop', crop_size)
        _refuse_size('base', base_size)
        if not 0 < scale[0] <= scale[1]:
            raise InputError(f'the scale must be two factors above 0 in rising order, got {scale[0]} and {scale[1]}')
        self.crop_size = crop_size
        self.longest = [max(1, int(base_size * factor)) for factor in scale]
        self.hflip, self.blur, self.jitter = hflip, blur, jitter
        self.filter = FILTERS[interpolation]
        if jitter:
            make_ready()

    def __call__(self, picture, labels, rng):
        mirrored = rng.random() < self.hflip
        scaled = with_longer_side(picture.size, int(rng.integers(self.longest[0], self.longest[1] + 1)))
        corner = [int(rng.integers(max(side - self.crop_size, 0) + 1)) for side in scaled]
        image, labels = crop_both(picture, labels, scaled, corner, self.crop_size, self.filter)
        if mirrored:
            image, labels = image.transpose(Image.FLIP_LEFT_RIGHT), labels[:, ::-1]
        if self.jitter:
            image = Image.fromarray(jitter_and_light(image, rng, self.jitter, self.jitter / 4))
        image, labels = padded(image, labels, self.crop_size)
        if rng.random() < self.blur:
            image = image.filter(ImageFilter.GaussianBlur(rng.random()))
        return np.asarray(image), labels


class CentralCrop:
    """Resize the shorter side to ``size`` and take the central ``size`` × ``size``: quick figures while training."""

    draws = False       # nothing at random: ``rng`` may be None

    def __init__(self, size, interpolation='bilinear'):
        _refuse_size('crop', size)
        self.size = size
        self.filter = FILTERS[interpolation]

    def __call__(self, picture, labels, rng=None):
        width, height = picture.size
        short = min(width, height)
        scaled = max(self.size, self.size * width // short), max(self.size, self.size * height // short)
        corner = [round((side - self.size) / 2) for side in scaled]
        image, labels = crop_both(picture, labels, scaled, corner, self.size, self.filter)
        return np.asarray(image), labels


class Whole:
    """The whole picture and its map as they are, of any size: a batch holds pictures of one size."""

    draws = False

    def __call__(self, picture, labels, rng=None):
        return np.asarray(picture.whole()), labels


def crop_both(picture, labels, scaled, corner, size, interpolation):
    """``(PIL image, labels)`` of a crop of picture and map, both scaled to the pixels ``scaled`` (width, height).

    ``corner`` is the crop's left and top, ``size`` its side; what lies beyond the scaled picture is left out. Only the
    pixels of the crop are resampled.
    """
    shown = [min(size, side) for side in scaled]
    factors = [side / whole for side, whole in zip(picture.size, scaled)]
    box = [place * factor for place, factor in zip(corner, factors)]
    box += [(place + side) * factor for place, side, factor in zip(corner, shown, factors)]
    box[2:] = [min(end, side) for end, side in zip(box[2:], picture.size)]      # the last bit of a product
    image = picture.resampled(box, tuple(shown), interpolation)
    image.info = {}     # nothing of it is asked for any more, and damaged metadata can be anything
    return image, nearest(labels, box, shown)


def nearest(labels, box, size):
    """``box`` (left, top, right, bottom) of an array, brought to ``size`` (width, height): the nearest pixel of each
    centre."""
    columns, rows = (_nearest(start, end, count, most) for start, end, count, most in
                     zip(box[:2], box[2:], size, labels.shape[::-1]))
    return labels[rows[:, None], columns]


def _nearest(start, end, count, most):
    places = start + (np.arange(count) + 0.5) * ((end - start) / count)
    return np.minimum(places.astype(np.int64), most - 1)


def padded(image, labels, size):
    """A PIL image and its labels with black, ignored pixels on their right and below, up to ``size`` × ``size``."""
    if image.size == (size, size):
        return image, labels
    canvas, whole = Image.new('RGB', (size, size)), np.full((size, size), IGNORED, dtype=labels.dtype)
    canvas.paste(image, (0, 0))
    whole[:labels.shape[0], :labels.shape[1]] = labels
    return canvas, whole


def with_longer_side(size, longest):
    """``(width, height)`` with the same proportions and a longer side of ``longest`` pixels."""
    scale = longest / max(size)
    return tuple(longest if side == max(size) else max(1, int(side * scale + 0.5)) for side in size)


def _refuse_size(what, size):
    if not 1 <= size <= LARGEST:
        raise InputError(f'the {what} size must be from 1 to {LARGEST} px, got {size}')
