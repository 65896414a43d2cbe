"""Detections of one picture at several scales, mirrored too, as one list: what Detectron2 calls test-time augmentation.

The rule is Detectron2's for boxes (https://detectron2.readthedocs.io, TEST.AUG): all detections go through one more
suppression, each class by itself, at the overlap of the detector, and as many as it gives stay. The mask of one that
stays is its own, where Detectron2 has its mask head see the box once more in each version of the picture and takes the
mean.
"""
from dataclasses import replace

import numpy as np

from ..geometry.suppression import suppress

__all__ = ['merged', 'mirrored_back']


def merged(versions, overlap, most):
    """The detections of a picture from those of several versions of it, all in its pixels: dataclasses with ``boxes``,
    ``scores``, ``classes`` and ``probabilities``, None or the masks over the boxes ``(D, M, M)``."""
    joined = {name: None if getattr(versions[0], name) is None else
              np.concatenate([getattr(each, name) for each in versions])
              for name in ('boxes', 'scores', 'classes', 'probabilities')}
    kept = suppress(joined['boxes'], joined['scores'], overlap, joined['classes'])[:most]
    return replace(versions[0], **{name: values if values is None else values[kept]
                                   for name, values in joined.items()})


def mirrored_back(found, width):
    """Detections of the mirror image of a picture of ``width`` pixels, as they lie in the picture."""
    left, top, right, bottom = found.boxes.T
    masks = found.probabilities
    return replace(found, boxes=np.stack([width - right, top, width - left, bottom], -1),
                   probabilities=masks if masks is None else masks[:, :, ::-1])
