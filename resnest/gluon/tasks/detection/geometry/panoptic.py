"""One segment for each pixel, from instances and stuff (Kirillov et al., 2019, https://arxiv.org/abs/1801.00868)."""
import numpy as np

__all__ = ['merge']


def merge(masks, scores, classes, labels, confidence=0.5, covered=0.5, least_area=4096):
    """Segments that do not overlap: a map ``(H, W)`` of their numbers, 0 for none, and a list of what they are.

    Parameters
    ----------
    masks : sequence of arrays
        Of the instances, ``(H, W)`` of bool each; they may be made when they are asked for, one after another.
    scores, classes : arrays
        ``(D,)`` each. The best comes first; one below ``confidence`` is left out, and so is one of which more than
        ``covered`` is taken already.
    labels : array
        ``(H, W)`` of int: 0 where there is any thing, otherwise the kind of stuff.
    least_area : int
        Stuff that has fewer pixels left is left out.

    Each segment is a dict of ``id``, ``is_thing``, ``category`` (the class, or the kind of stuff), ``score`` (of
    instances) and ``area``; none is empty.
    """
    segments, found = np.zeros(labels.shape, 'int32'), []

    def add(pixels, **facts):
        if not pixels.any():
            return
        found.append({'id': len(found) + 1, **facts, 'area': int(pixels.sum())})
        segments[pixels] = len(found)

    for index in np.argsort(-scores, kind='stable'):
        if scores[index] < confidence:
            break
        mask = masks[index]
        area, free = int(mask.sum()), mask & (segments == 0)
        if area and area - free.sum() <= covered * area:
            add(free, is_thing=True, category=int(classes[index]), score=float(scores[index]))
    for kind in np.unique(labels[labels > 0]):
        pixels = (labels == kind) & (segments == 0)
        if pixels.sum() >= least_area:
            add(pixels, is_thing=False, category=int(kind))
    return segments, found
