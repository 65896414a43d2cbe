"""From pictures of any size to what is in them, in pixels of the pictures: resized, normalized and padded as the
weights want it, detected, scaled back."""
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

import mxnet as mx
import numpy as np
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.checking import check_count
from resnest.gluon.data import each_picture, read_picture
from resnest.gluon.mxnet_private import has_values, structural_parameters
from resnest.reading import one_line

from .data.categories import categories_of
from .data.panoptic_maps import described_segment
from .geometry.boxes import are_whole, rescale
from .geometry.panoptic import merge
from .geometry.pasting import paste, piece
from .geometry.resampling import largest
from .geometry.sizes import COARSEST, LONGEST_SIDE, seen_size
from .table import DetectionSpec

__all__ = ['Detections', 'detect', 'each_detections', 'network_input', 'network_inputs', 'require_finite']

FILTERS = {'bilinear': Image.BILINEAR, 'bicubic': Image.BICUBIC}
WINDOW = 8              # batches that pictures of one shape are sought in
NO_MEMORY = 'Failed to allocate'    # mxnet's words


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in a picture of ``size`` (height, width), the best first; ``D`` may be 0.

    ``boxes`` are float32 ``(D, 4)``, left, top, right, bottom in pixels of the picture as it was given, ``scores``
    float32 ``(D,)``, ``classes`` int32 ``(D,)``. ``probabilities`` is None or float32 ``(D, 28, 28)``, of the objects'
    masks over their boxes. ``panoptic`` is None or ``(ids, segments)``: int32 ``(H, W)``, 0 for none, and dicts as
    COCO's panoptic files have them (``id``, ``category_id``, ``isthing``, ``area``, ``bbox``, ``iscrowd``) with the
    ``score`` of things.
    """
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    size: tuple
    probabilities: Optional[np.ndarray] = None
    panoptic: Optional[tuple] = None

    def __len__(self):
        return len(self.boxes)

    @property
    def masks(self):
        """bool ``(D, H, W)``, made anew each time; None without a mask head."""
        if self.probabilities is None:
            return None
        return np.array(list(_Masks(self)), bool).reshape(len(self), *self.size)

    def mask(self, index):
        """The mask ``(H, W)`` of one object."""
        return paste(self.probabilities[index], self.boxes[index], *self.size)

    def mask_piece(self, index):
        """The part of an object's mask outside of which it is empty: ``(top, left, mask (h, w))``."""
        return piece(self.probabilities[index], self.boxes[index], *self.size)

    def above(self, least_score):
        """Those that have at least a score; the segments stay as they are."""
        return self[self.scores >= least_score]

    def __getitem__(self, rows):
        """Some of them, by indices or as a slice or an array of bool."""
        masks = None if self.probabilities is None else self.probabilities[rows]
        return replace(self, boxes=self.boxes[rows], scores=self.scores[rows], classes=self.classes[rows],
                       probabilities=masks)


def detect(net, pictures, batch_size=1, short_side=None, long_side=None):
    """Tell what is in pictures: a list of :class:`Detections`, one for each.

    Parameters
    ----------
    net : Detector
    pictures
        One picture, an iterable of them, or a folder: paths, PIL images, or uint8 arrays ``(H, W, 3)`` or ``(H, W)``.
    batch_size : int
        So many pictures at most go through the network at once: those that have the same shape there, so that the
        results do not depend on it.
    short_side, long_side : int
        What pictures are resized to, in pixels; the row's unless given.

    Raises InputError, in one line, for what is no picture, for weights that are not finite or not there, and where
    memory does not suffice.
    """
    return list(each_detections(net, pictures, batch_size, short_side, long_side))


def each_detections(net, pictures, batch_size=1, short_side=None, long_side=None, categories=None):
    """As :func:`detect`, but yield one after the other, in the order of the pictures; of these no more is held than a
    few batches. Segments have the numbers of ``categories``, those of :func:`.categories.categories_of` unless given.
    """
    if not isinstance(getattr(net, 'spec', None), DetectionSpec):
        raise InputError("net must be a detector, such as get_model('mask_rcnn_fpn_resnest50') makes, got "
                         f'{one_line(repr(net), 60)}')
    check_count('batch_size', batch_size)
    require_finite(net)
    sides = (net.spec.short_side if short_side is None else short_side,
             net.spec.long_side if long_side is None else long_side)
    for side in sides:
        check_count('a side of pictures', side, most=LONGEST_SIDE)
    categories = categories or (categories_of(net) if net.spec.kinds else None)
    window = []
    for picture in each_picture(pictures):
        window.append(_resized(picture, net.spec, sides))
        if len(window) == (batch_size * WINDOW if batch_size > 1 else 1):
            yield from _window(net, window, batch_size, categories)
            window = []
    yield from _window(net, window, batch_size, categories)


def require_finite(net):
    """Raise InputError for a network without values, or with values that are not finite."""
    params = structural_parameters(net)
    if missing := next((name for name, param in params.items() if not has_values(param)), None):
        raise InputError(f'{net.spec.name}: has no values yet ({missing}); give pretrained=, or call initialize()')
    for name, param in params.items():      # NumPy: mxnet's multi_all_finite takes twenty times as long on a CPU
        if not np.isfinite(param.list_data()[0].asnumpy()).all():
            raise InputError(f'{net.spec.name}: {name} is not finite; these weights are of no use')


def _resized(picture, spec, sides):
    """``(pixels as the network sees them, uint8 (h, w, 3); height and width of the picture)``."""
    def transform(opened, _):
        image = opened.whole()
        width, height = image.size
        seen = seen_size(height, width, *sides)
        if seen != (height, width):
            image = image.resize(seen[::-1], FILTERS[spec.interpolation])
        return np.asarray(image), (height, width)

    return read_picture(picture, transform)


def _window(net, window, batch_size, categories):
    """Yield the :class:`Detections` of some resized pictures; those of one shape in batches."""
    groups = {}
    for place, (pixels, _) in enumerate(window):
        groups.setdefault(_shape(net, pixels), []).append(place)
    found = {}
    for shape, places in groups.items():
        for begin in range(0, len(places), batch_size):
            some = places[begin:begin + batch_size]
            found.update(zip(some, _seen(net, [window[place] for place in some], shape, categories)))
    yield from (found[place] for place in range(len(window)))


def _shape(net, pixels):
    """Height and width of the batch that pixels are in."""
    height, width = pixels.shape[:2]
    if not net.convention.padded:
        return height, width
    return height + -height % COARSEST, width + -width % COARSEST


def network_input(net, picture, short_side=None, long_side=None):
    """A picture as ``net`` takes it, NDArray ``(1, 3, H, W)``, for :func:`.optimizing.optimize_detector`."""
    one = _resized(picture, net.spec, (short_side or net.spec.short_side, long_side or net.spec.long_side))
    return _images(net, [one], _shape(net, one[0]))[0]


def network_inputs(net, pictures, count, short_side=None, long_side=None):
    """As :func:`network_input`, of the first ``count`` pictures that can be read; InputError where there is none."""
    inputs = []
    for picture in pictures:
        with contextlib.suppress(InputError):       # which is told when its turn comes
            inputs.append(network_input(net, picture, short_side, long_side))
        if len(inputs) == count:
            break
    if not inputs:
        raise InputError('none of the pictures can be read to calibrate with')
    return inputs


def _images(net, pictures, shape):
    """Resized pictures as a batch ``(N, 3, *shape)`` on the network's device, and their heights and widths there."""
    mean, std = (np.float32(np.multiply(each, 255)) for each in (net.spec.mean, net.spec.std))
    x = np.zeros((len(pictures), 3, *shape), 'float32')
    sizes = [pixels.shape[:2] for pixels, _ in pictures]
    for image, ((pixels, _), (height, width)) in enumerate(zip(pictures, sizes)):
        x[image, :, :height, :width] = ((net.spec.ordered(pixels) - mean) / std).transpose(2, 0, 1)
    return mx.nd.array(x, ctx=net.device), sizes


def _seen(net, pictures, shape, categories):
    """The :class:`Detections` of resized pictures of one shape."""
    try:
        return list(_batch(net, pictures, shape, categories))
    except (MemoryError, mx.MXNetError) as error:
        if isinstance(error, mx.MXNetError) and NO_MEMORY not in str(error):
            raise
        raise InputError(f'not enough memory for {len(pictures)} at a time of {shape[0]} x {shape[1]} pixels; resize '
                         'pictures to a smaller short side, or take fewer at a time') from None


def _batch(net, pictures, shape, categories):
    x, sizes = _images(net, pictures, shape)
    outputs = net(x, sizes)
    kinds = outputs[-1].asnumpy() if net.spec.kinds else None
    ids, scores, boxes, *masks = (output.asnumpy() for output in (outputs[:-1] if net.spec.kinds else outputs))
    for image, ((_, size), seen) in enumerate(zip(pictures, sizes)):
        rows = np.flatnonzero(ids[image, :, 0] >= 0)
        own = rescale(boxes[image, rows], seen, size)
        rows, own = rows[are_whole(own)], own[are_whole(own)]
        found = Detections(own, scores[image, rows, 0], ids[image, rows, 0].astype('int32'), size,
                           masks[0][image, rows] if masks else None)
        for values in (found.probabilities, None if kinds is None else kinds[image]):
            if values is not None and not np.isfinite(values).all():
                raise InputError(f"{net.spec.name}: the network's output is not finite; these weights are of no use")
        if kinds is not None:
            labels = largest(kinds[image, :, :seen[0], :seen[1]], *size)
            found = replace(found, panoptic=_panoptic(found, labels, net.spec, categories))
        yield found


class _Masks(Sequence):
    """The masks of detections, each made when it is asked for."""

    def __init__(self, found):
        self.found = found

    def __len__(self):
        return len(self.found)

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError(index)
        return self.found.mask(index)


def _panoptic(found, labels, spec, categories):
    """``(ids (H, W), segments)`` in COCO's format."""
    masks = [] if found.probabilities is None else _Masks(found)
    scores = found.scores if len(masks) else np.zeros(0)
    ids, segments = merge(masks, scores, found.classes, labels, spec.confidence, spec.covered, spec.stuff_area)
    return ids, [described_segment(ids, each, categories) for each in segments]
