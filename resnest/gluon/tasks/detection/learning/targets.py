"""What anchors and regions should become: drawn among those that match the objects of a picture, and those that do not
(Ren et al., 2015, https://arxiv.org/abs/1506.01497, section 3.1.2; Cai and Vasconcelos, 2018,
https://arxiv.org/abs/1712.00726)."""
from dataclasses import dataclass

import numpy as np

from ..geometry.boxes import are_whole, encode
from ..geometry.matching import POSITIVE, match, sample

__all__ = ['Regions', 'drawn_anchors', 'drawn_regions', 'joined', 'or_ground', 'relabelled']

LOW, HIGH = 0.3, 0.7            # overlaps of anchors: below they are ground, from there on objects


@dataclass
class Regions:
    """Regions of pictures, and what they stand for.

    ``boxes`` is ``(R, 4)``, ``images`` ``(R,)`` the places of their pictures in the batch, ``classes`` ``(R,)``, the
    number of classes where a region is background, and ``objects`` ``(R,)`` the places of the objects in their pictures
    that they overlap most, 0 where there are none. ``wanted`` ``(R, 4)`` are those objects' boxes, zeros where a region
    is background.
    """
    boxes: np.ndarray
    images: np.ndarray
    classes: np.ndarray
    objects: np.ndarray
    wanted: np.ndarray

    def __len__(self):
        return len(self.boxes)

    def __getitem__(self, chosen):
        """Some of them, by an index of NumPy."""
        return Regions(*(part[chosen] for part in vars(self).values()))


def joined(parts):
    """The Regions of several pictures as one."""
    return Regions(*map(np.concatenate, zip(*(vars(part).values() for part in parts))))


def drawn_anchors(anchors, truth, count, fraction, generator=None):
    """The anchors ``(A, 4)`` of a picture that its proposals learn from, ``count`` of them.

    Returns their places ``(count,)``, their labels, 1 for an object and 0 otherwise, whether they count, both
    ``(count,)``, and the differences ``(count, 4)`` that make the objects of them, zeros for those that are none.
    Where there are fewer than ``count``, the rest are anchors that do not count. For the other parameters see
    :func:`.matching.sample`.
    """
    matched, labels = match(anchors, truth.boxes, LOW, HIGH, best_too=True)
    positive, negative = sample(labels, count, fraction, generator)
    places, wanted, number = np.zeros(count, int), np.zeros((count, 4), 'float32'), len(positive) + len(negative)
    places[:number] = np.concatenate([positive, negative])
    labels, counted = (np.arange(count) < each for each in (len(positive), number))
    if len(positive):
        wanted[:len(positive)] = encode(anchors[positive], truth.boxes[matched[positive]])
    return places, labels, counted, wanted


def drawn_regions(proposals, truth, image, classes, count, fraction, overlap, generator=None):
    """The :class:`Regions` of a picture, at place ``image`` of the batch, that the heads learn from, objects first.

    They are drawn (:func:`.matching.sample`) among the ``proposals`` ``(P, 4)`` and the objects' own boxes; those that
    overlap an object by at least ``overlap`` stand for it.
    """
    own = truth.boxes[are_whole(truth.boxes)]
    regions = _matched(np.concatenate([proposals, own]), truth, image, classes, overlap)
    labels = np.where(regions.classes < classes, POSITIVE, 0)
    return regions[np.concatenate(sample(labels, count, fraction, generator))]


def or_ground(regions, classes):
    """The regions; where there is none, an empty one of the first picture's background in their place: all ranks
    compute the same layers."""
    if len(regions):
        return regions
    empty = np.zeros((1, 4), 'float32')
    return Regions(empty, np.zeros(1, int), np.full(1, classes), np.zeros(1, int), empty.copy())


def relabelled(boxes, images, truths, classes, overlap):
    """The :class:`Regions` of boxes ``(R, 4)`` that an earlier stage has refined, without the empty ones; ``images``
    are their pictures' places, and ``truths`` those pictures' truths.

    Where none would be left, the first stays in the place of all, as background.
    """
    whole = are_whole(boxes)
    if not whole.any():
        boxes, whole = np.zeros_like(boxes), np.arange(len(boxes)) == 0
    boxes, images = boxes[whole], images[whole]
    return joined([_matched(boxes[images == image], truth, image, classes, overlap)
                   for image, truth in enumerate(truths)])


def _matched(boxes, truth, image, classes, overlap):
    objects, labels = match(boxes, truth.boxes, overlap, overlap)
    known = labels == POSITIVE
    found, wanted = np.full(len(boxes), classes), np.zeros((len(boxes), 4), 'float32')
    if known.any():
        found[known], wanted[known] = truth.classes[objects[known]], truth.boxes[objects[known]]
    return Regions(boxes, np.full(len(boxes), image), found, objects, wanted)
