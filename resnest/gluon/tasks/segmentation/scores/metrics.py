"""Pixel accuracy and mean intersection over union (Long et al., https://arxiv.org/abs/1411.4038, section 5), exact."""
import numpy as np

from resnest.errors import InputError

__all__ = ['confusion', 'figures']


def confusion(predictions, labels, classes, ignored=-1):
    """How many pixels of each label were taken for each class: ``(classes, classes)`` int64, labels in rows.

    ``predictions`` and ``labels`` are whole numbers of the same shape, both NumPy; pixels whose label is ``ignored`` do
    not count. Such counts may be added, over batches and over ranks. Raises InputError for a shape, a label or a
    prediction that cannot be.
    """
    if predictions.shape != labels.shape:
        raise InputError(f'predictions of shape {predictions.shape} cannot be compared with labels of {labels.shape}')
    counting = labels != ignored
    labels, predictions = labels[counting].astype(np.int64), predictions[counting].astype(np.int64)
    for what, values in (('labels', labels), ('predictions', predictions)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise InputError(f'{what} from {values.min()} to {values.max()}, but there are {classes} classes')
    return np.bincount(labels * classes + predictions, minlength=classes ** 2).reshape(classes, classes)


def figures(counts):
    """``pixel_accuracy`` and ``miou``, between 0 and 1, and ``iou`` of each class, of what :func:`confusion` counts.

    A class that is neither among the labels nor predicted has no IoU (NaN) and no part in the mean. Without any pixel
    all are NaN.
    """
    counts = np.asarray(counts, dtype=np.float64)
    right, union = np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1) - np.diag(counts)
    iou = np.divide(right, union, out=np.full(len(right), np.nan), where=union > 0)
    seen = counts.sum()
    return {'pixel_accuracy': float(right.sum() / seen) if seen else np.nan,
            'miou': float(iou[union > 0].mean()) if seen else np.nan, 'iou': iou}
