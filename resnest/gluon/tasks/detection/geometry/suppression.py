"""Greedy non-maximum suppression, and what is chosen with it: proposals and detections."""
import numpy as np

from .boxes import are_whole, clip, decode, paired_overlaps
from .conventions import CONVENTIONS

__all__ = ['detect', 'propose', 'suppress']

PAIRS = 1 << 20         # that are compared at once, or those of one box
ROUNDING = 1e-5         # of float32, amply


def suppress(boxes, scores, threshold, groups=None):
    """Indices of the boxes that stay, by descending score: none that overlaps a better one of its group by more than
    ``threshold``.

    ``boxes`` is ``(R, 4)``, ``scores`` ``(R,)``, ``groups`` ``(R,)`` of int: classes, or levels of the pyramid.
    """
    groups = np.zeros(len(boxes), int) if groups is None else groups
    order = np.argsort(-scores, kind='stable')
    better, worse = _near(boxes[order], groups[order], threshold)
    stays = np.ones(len(boxes), bool)
    ends = np.searchsorted(better, np.arange(len(boxes) + 1))
    for place in np.unique(better):
        if stays[place]:
            stays[worse[ends[place]:ends[place + 1]]] = False
    return order[stays]


def _near(boxes, groups, threshold):
    """Places ``(better, worse)`` of all pairs in one group that overlap by more than ``threshold``, the lower place
    being the better one, by ascending better place.

    Two boxes whose left sides differ by more than ``1 - threshold`` of the left one's width are no such pair.
    """
    order = np.lexsort((boxes[:, 0], groups))
    boxes, found = boxes[order], [np.zeros((2, 0), int)]
    with np.errstate(over='ignore', invalid='ignore'):
        left, right = boxes[:, 0].astype('float64'), boxes[:, 2].astype('float64')
        farthest = left + (1 - threshold) * (right - left) + ROUNDING * (np.abs(left) + np.abs(right))
    begins = np.searchsorted(groups[order], groups[order])
    ends = np.searchsorted(groups[order], groups[order], 'right')
    for begin in np.unique(begins):
        own = slice(begin, ends[begin])
        ends[own] = begin + np.searchsorted(left[own], farthest[own], 'right')
    counts = np.maximum(ends - np.arange(len(boxes)) - 1, 0)
    totals = np.cumsum(counts)
    cuts = np.unique(np.searchsorted(totals, np.arange(0, totals[-1] if len(totals) else 0, PAIRS)))
    for first, last in zip(cuts, [*cuts[1:], len(boxes)]):
        some = counts[first:last]
        one = np.repeat(np.arange(first, last), some)
        other = one + 1 + np.arange(len(one)) - np.repeat(np.cumsum(some) - some, some)
        near = paired_overlaps(boxes[one], boxes[other]) > threshold
        found.append(order[np.stack([one[near], other[near]])])
    pairs = np.sort(np.concatenate(found, 1), 0)
    return pairs[:, np.argsort(pairs[0], kind='stable')]


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
    with np.errstate(invalid='ignore'):
        rows, classes = np.nonzero((scores > least) & np.isfinite(scores))
    boxes, scores = boxes[rows, classes if boxes.shape[1] > 1 else 0], scores[rows, classes]
    boxes = clip(boxes, *size) if clipped else boxes
    whole = np.isfinite(boxes).all(-1)
    boxes, scores, classes = boxes[whole], scores[whole], classes[whole]
    kept = suppress(boxes, scores, threshold, classes)[:most]
    return boxes[kept], scores[kept], classes[kept]


def _highest(values, count):
    """Indices of the highest ``count`` values, in descending order; NaN comes last."""
    chosen = np.argpartition(-values, count)[:count] if len(values) > count else np.arange(len(values))
    return chosen[np.argsort(-values[chosen], kind='stable')]
