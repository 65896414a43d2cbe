"""How far the detections of one detector are those of another."""
import numpy as np

from .boxes import overlaps

__all__ = ['agreement_of', 'rows_found']


def rows_found(outputs):
    """``[(boxes (D, 4), scores (D,), classes (D,))]``, arrays of NumPy, of the images of a detector's outputs."""
    ids, scores, boxes = (each.asnumpy() for each in outputs[:3])
    return [(box[kind[:, 0] >= 0], score[kind[:, 0] >= 0, 0], kind[kind[:, 0] >= 0, 0])
            for box, score, kind in zip(boxes, scores, ids)]


def agreement_of(wanted, found, least=0.5):
    """``(number wanted, number of them found, largest difference of their scores)``.

    A detection is found where there is one of the same class that overlaps it by at least ``least`` and is no other's;
    the best of the wanted choose first, the one that overlaps most.
    """
    boxes, scores, classes = found
    overlap = overlaps(wanted[0], boxes) * (wanted[2][:, None] == classes)
    matched, difference = 0, 0.0
    for row in np.argsort(-wanted[1], kind='stable') if len(boxes) else ():
        best = overlap[row].argmax()
        if overlap[row, best] >= least:
            matched, difference = matched + 1, max(difference, float(abs(wanted[1][row] - scores[best])))
            overlap[:, best] = 0
    return len(wanted[0]), matched, difference
