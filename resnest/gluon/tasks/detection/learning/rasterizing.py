"""What the mask of a region should be: the part of its object's mask that lies in its box (He et al., 2017,
https://arxiv.org/abs/1703.06870, section 3)."""
import mxnet as mx
import numpy as np

from resnest.gluon.nn import RoIAlign
from resnest.runtime import import_extra

__all__ = ['mask_targets', 'rasterized']

LEAST_SIDE = 0.1        # pixels


def mask_targets(regions, truths, side):
    """``(R, side, side)`` of bool for :class:`.targets.Regions` that are objects: polygons as COCO's own code
    rasterizes them, the others where at least half of a cell is the object's."""
    targets = np.zeros((len(regions), side, side), bool)
    for image, truth in enumerate(truths):
        rows = np.flatnonzero(regions.images == image)
        if len(rows) and truth.masks is not None:
            boxes, objects = regions.boxes[rows], regions.objects[rows]
            drawn = np.array([isinstance(truth.masks[each], list) for each in objects])
            for row, box, each in zip(rows[drawn], boxes[drawn], objects[drawn]):
                targets[row] = rasterized(truth.masks[each], box, side)
            if not drawn.all():
                targets[rows[~drawn]] = _cut(truth.masks, objects[~drawn], boxes[~drawn], side)
    return targets


def rasterized(polygons, box, side):
    """The part of an object in a box, ``(side, side)`` of bool; ``polygons`` are ``(points, 2)`` in pixels."""
    coco = import_extra('pycocotools.mask')
    scale = side / np.maximum(box[2:] - box[:2], LEAST_SIDE)
    flat = [((polygon - box[:2]) * scale).astype(float).ravel() for polygon in polygons if len(polygon) > 2]
    if not flat:
        return np.zeros((side, side), bool)
    return coco.decode(coco.merge(coco.frPyObjects(flat, side, side))).astype(bool)


def _cut(masks, objects, boxes, side):
    """The parts of the objects' masks, which are ``(H, W)`` of bool, in the boxes."""
    used, places = np.unique(objects, return_inverse=True)
    maps = mx.nd.array(np.stack([masks[each] for each in used])[:, None], dtype='float32')
    regions = np.concatenate([places[:, None], boxes], 1)
    return RoIAlign(side, 1.0)(maps, mx.nd.array(regions)).asnumpy()[:, 0] >= 0.5
