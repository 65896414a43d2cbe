"""Average precision of boxes and masks as COCO measures it (https://cocodataset.org/#detection-eval), by its own
pycocotools."""
import contextlib
import io

import numpy as np

from resnest.gluon.data.coco.instances import NO_SHAPE, RUNS
from resnest.runtime import import_extra

__all__ = ['FIGURES', 'average_precision']

# COCO's twelve figures, in its order.
FIGURES = ('ap', 'ap50', 'ap75', 'ap_small', 'ap_medium', 'ap_large', 'ar_1', 'ar_10', 'ar_100', 'ar_small',
           'ar_medium', 'ar_large')
ALL_AREAS, MOST_DETECTIONS = 0, -1      # places along the last two axes of pycocotools' precision


def average_precision(annotations, found, pictures, masks=False):
    """COCO's figures in per cent, None where there is nothing that they could be of.

    Parameters
    ----------
    annotations : Annotations
        With shapes, for ``masks``.
    found : Found
        By picture; its ``pictures`` are places among those of ``annotations``.
    pictures : sequence of int
        The places of all pictures that were looked at, also of those in which nothing was found.
    masks : bool
        Whether it is masks that overlap, not boxes.

    Returns a dict of :data:`FIGURES`, and ``classes``, the AP of each class. Raises MissingPackage without pycocotools.
    """
    import_extra('pycocotools')
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    with contextlib.redirect_stdout(io.StringIO()):
        truth, given = COCO(), COCO()
        sizes = [[int(place), *map(int, annotations.sizes[place])] for place in pictures]
        truth.dataset = {'images': [dict(zip(('id', 'height', 'width'), each)) for each in sizes],
                         'categories': [{'id': label} for label in range(len(annotations.categories))],
                         'annotations': list(_truth(annotations, sizes, masks))}
        given.dataset = {**truth.dataset, 'annotations': list(_given(annotations, found, masks))}
        for each in (truth, given):
            for number, one in enumerate(each.dataset['annotations'], 1):
                one['id'] = number      # a zero would be no match
            each.createIndex()
        measured = COCOeval(truth, given, 'segm' if masks else 'bbox')
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    precision = measured.eval['precision'][:, :, :, ALL_AREAS, MOST_DETECTIONS]      # (overlap, recall, class)
    classes = [each[each > -1].mean() if (each > -1).any() else -1 for each in np.moveaxis(precision, 2, 0)]
    return {**dict(zip(FIGURES, map(_per_cent, measured.stats))), 'classes': [*map(_per_cent, classes)]}


def _truth(annotations, sizes, masks):
    for place, *size in sizes:
        for row in annotations.of(place):
            if masks and annotations.forms[row] == NO_SHAPE:
                continue
            one = {'image_id': place, 'category_id': int(annotations.classes[row]),
                   'bbox': annotations.boxes[row].tolist(), 'area': float(annotations.areas[row]),
                   'iscrowd': int(annotations.crowd[row])}
            if masks:
                shape = annotations.shape(row)
                one['segmentation'] = {'size': size, 'counts': shape.tolist()} if annotations.forms[row] == RUNS else \
                    [polygon.ravel().tolist() for polygon in shape]
            yield one


def _given(annotations, found, masks):
    from pycocotools import mask as coco
    for row, (place, label, score) in enumerate(zip(found.pictures.tolist(), found.classes.tolist(),
                                                    found.scores.tolist())):
        left, top, right, bottom = found.boxes[row].tolist()
        one = {'image_id': place, 'category_id': label, 'score': score, 'iscrowd': 0,
               'bbox': [left, top, right - left, bottom - top], 'area': (right - left) * (bottom - top)}
        if masks:
            one['segmentation'] = {'size': [int(side) for side in annotations.sizes[place]], 'counts': found.masks[row]}
            one['area'] = float(coco.area(one['segmentation']))
        yield one


def _per_cent(value):
    return None if value < 0 else 100 * float(value)
