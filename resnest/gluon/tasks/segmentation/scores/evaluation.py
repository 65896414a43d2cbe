"""The exact counts of a network on pictures of any size: which class each pixel of each label was taken for."""
import numpy as np

from .metrics import confusion

__all__ = ['evaluate', 'labelled']


def evaluate(score, loader, classes, progress=None):
    """Score the pictures of a loader.

    Parameters
    ----------
    score : callable
        From uint8 ``(N, H, W, 3)``, NumPy, to scores ``(N, classes, H, W)``, an NDArray: one of :mod:`.scoring`.
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
        taken, finite = labelled(score(images))
        counts += confusion(taken[finite], labels[finite], classes)
        seen, bad = seen + len(labels), bad + int((~finite).sum())
        if progress:
            progress(len(labels))
    return {'confusion': counts, 'seen': seen, 'nonfinite': bad}


def labelled(scores):
    """``(labels (N, H, W) int64, finite (N,))`` of scores ``(N, classes, H, W)``: the class of the highest score of
    each pixel, the first of those that tie, and of which pictures all scores are finite."""
    finite = np.isfinite((scores * 0).sum(axis=(1, 2, 3)).asnumpy())
    return scores.argmax(axis=1).asnumpy().astype(np.int64), finite
