"""Greedy non-maximum suppression, and what is chosen with it: proposals and detections."""
import numpy as np

from .boxes import are_whole, clip, decode, overlaps
from .conventions import CONVENTIONS

__all__ = ['detect', 'propose', 'suppress']


def suppress(boxes, scores, threshold, groups=None):
    """Indices of the boxes that stay, by descending score: none that overlaps a better one of its group by more than
    ``threshold``.

    ``boxes`` is ``(R, 4)``, ``scores`` ``(R,)``, ``groups`` ``(R,)`` of int: classes, or levels of the pyramid.
    """
    groups = np.zeros(len(boxes), int) if groups is None else groups
    kept = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        members = members[np.argsort(-scores[members], kind='stable')]
        too_near = overlaps(boxes[members], boxes[members]) > threshold
        stays = np.ones(len(members), bool)
        for place, near in enumerate(too_near):
            if stays[place]:
                stays[place + 1:] &= ~near[place + 1:]
        kept.append(members[stays])
    kept = np.concatenate([np.zeros(0, int), *kept])
    return kept[np.argsort(-scores[kept], kind='stable')]


def propose(logits, deltas, anchors, size, before, most, threshold, convention=CONVENTIONS['detectron2']):
    """The proposals of an image: boxes ``(P, 4)`` and their logits ``(P,)``, by descending logit, at most ``most``.

    Parameters
    ----------
    logits, deltas, anchors : list of arrays
        Of each level, ``(A,)``, ``(A, 4)`` and ``(A, 4)``.
    size : (int, int)
        Height and width of the image, to which boxes are clipped; empty ones are dropped, as are those not finite.
    before : int
        How many take part in the suppression, of each level or of all of them.
    threshold : float
        Of the suppression.
    convention : Convention
        Its ``growth`` and ``by_level``.
    """
    if not convention.by_level:
        logits, deltas, anchors = ([np.concatenate(each)] for each in (logits, deltas, anchors))
    chosen = [_highest(each, before) for each in logits]
    boxes = np.concatenate([clip(decode(delta[index], anchor[index], growth=convention.growth)[:, 0], *size)
                            for delta, anchor, index in zip(deltas, anchors, chosen)])
    scores = np.concatenate([each[index] for each, index in zip(logits, chosen)])
    levels = np.repeat(np.arange(len(chosen)), [len(index) for index in chosen])
    good = are_whole(boxes) & np.isfinite(scores)
    boxes, scores = boxes[good], scores[good]
    kept = suppress(boxes, scores, threshold, levels[good])[:most]
    return boxes[kept], scores[kept]


def detect(boxes, scores, size, least, threshold, most, clipped=True):
    """The detections of an image: boxes ``(D, 4)``, scores ``(D,)`` and classes ``(D,)``, by descending score.

    ``boxes`` is ``(R, classes, 4)``, or ``(R, 1, 4)`` where all classes share them, and ``scores`` ``(R, classes)``
    without the background. Those with a score above ``least`` take part in the suppression, each class by itself.
    The boxes are ``clipped`` to the image's ``size`` before, or not at all.
    """
    boxes = np.broadcast_to(clip(boxes, *size) if clipped else boxes, (*scores.shape, 4))
    with np.errstate(invalid='ignore'):
        rows, classes = np.nonzero((scores > least) & np.isfinite(scores) & np.isfinite(boxes).all(-1))
    boxes, scores = boxes[rows, classes], scores[rows, classes]
    kept = suppress(boxes, scores, threshold, classes)[:most]
    return boxes[kept], scores[kept], classes[kept]


def _highest(values, count):
    """Indices of the highest ``count`` values, in descending order; NaN comes last."""
    chosen = np.argpartition(-values, count)[:count] if len(values) > count else np.arange(len(values))
    return chosen[np.argsort(-values[chosen], kind='stable')]
