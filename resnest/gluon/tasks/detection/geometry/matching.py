"""Which object a box stands for, and which boxes are learned from (Ren et al., 2015, https://arxiv.org/abs/1506.01497,
section 3.1.2)."""
import numpy as np

from .boxes import overlaps

__all__ = ['IGNORED', 'NEGATIVE', 'POSITIVE', 'match', 'sample']

IGNORED, NEGATIVE, POSITIVE = -1, 0, 1


def match(boxes, objects, low, high, best_too=False):
    """The object that each box overlaps most, ``(R,)``, and the boxes' labels, ``(R,)``: positive from an overlap of
    ``high`` on, negative below ``low``, ignored between.

    With ``best_too`` the boxes that overlap some object more than all others do (ties included) are positive too; they
    stay with the object that they themselves overlap most. Without an object all boxes are negative, of object 0.
    """
    if not len(objects):
        return np.zeros(len(boxes), int), np.full(len(boxes), NEGATIVE)
    overlap = overlaps(objects, boxes)      # a row for each of the few objects: NumPy is fast along rows
    matched = overlap.argmax(0)
    most = overlap.max(0, initial=0)
    labels = np.select([most >= high, most < low], [POSITIVE, NEGATIVE], IGNORED)
    if best_too and len(boxes):
        labels[(overlap == overlap.max(1, keepdims=True)).any(0)] = POSITIVE
    return matched, labels


def sample(labels, count, fraction, generator=None):
    """Indices of the boxes to learn from: ``(positive, negative)``, at most ``count`` in all.

    At most ``fraction`` of them are positive; negative ones fill the rest. ``generator`` draws them
    (:func:`resnest.gluon.streams.generator`); without it the first ones are taken.
    """
    def choose(candidates, most):
        if generator is None or len(candidates) <= most:
            return candidates[:most]
        return np.sort(generator.choice(candidates, most, replace=False))

    positive = choose(np.flatnonzero(labels == POSITIVE), int(count * fraction))
    return positive, choose(np.flatnonzero(labels == NEGATIVE), count - len(positive))
