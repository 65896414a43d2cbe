"""The exact counts of a network on pictures of any size: which class each pixel of each label was taken for."""
import numpy as np

from ..resizing import resized_part
from .metrics import confusion

__all__ = ['evaluate', 'labelled']

TILE = 256      # pixels: the scores of 150 classes for a whole photo take gigabytes


def evaluate(score, loader, classes, progress=None):
    """Score the pictures of a loader.

    Parameters
    ----------
    score : callable
        From uint8 ``(N, H, W, 3)``, NumPy, to maps of scores, as :func:`labelled` has them: one of :mod:`.scoring`.
    loader : iterable of (images, labels)
        uint8 ``(N, H, W, 3)`` and int32 ``(N, H, W)``; each batch may have another size.
    classes : int
    progress : callable
        Called with the number of pictures after each batch.

    Returns a dict of what can be added up over ranks: ``confusion`` (:func:`.metrics.confusion`), ``seen`` pictures,
    and how many of them are ``nonfinite``: their scores are not, and their pixels are not counted.
    """
    counts, seen, bad = np.zeros((classes, classes), dtype=np.int64), 0, 0
    for images, labels in loader:
        taken, finite = labelled(score(images), *labels.shape[1:])
        counts += confusion(taken[finite], labels[finite], classes)
        seen, bad = seen + len(labels), bad + int((~finite).sum())
        if progress:
            progress(len(labels))
    return {'confusion': counts, 'seen': seen, 'nonfinite': bad}


def labelled(maps, height, width):
    """``(labels (N, height, width) int64, finite (N,))`` of maps, NDArrays ``(N, classes, h, w)``, each of any size.

    The scores of a pixel are the sum of all maps, resized to the picture; its label is the class of the highest one,
    the first of those that tie. ``finite`` says of which pictures all scores are.
    """
    finite = np.isfinite(sum((each * 0).sum(axis=(1, 2, 3)).asnumpy() for each in maps))
    labels = np.empty((len(finite), height, width), dtype=np.int64)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            rows, columns = (top, min(top + TILE, height)), (left, min(left + TILE, width))
            scores = sum(resized_part(each, (height, width), rows, columns) for each in maps)
            labels[:, slice(*rows), slice(*columns)] = scores.argmax(axis=1).asnumpy().transpose(0, 2, 1)
    return labels, finite
