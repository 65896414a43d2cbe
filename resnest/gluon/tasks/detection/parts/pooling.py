"""What a region sees: its part of the level that suits its size (Lin et al., 2017, section 4.2), by RoIAlign (He et
al., 2017, https://arxiv.org/abs/1703.06870, section 3)."""
import mxnet as mx
import numpy as np

from ..geometry.boxes import are_whole
from .pyramid import STRIDES

__all__ = ['level_of', 'pool']

FINEST, USUAL_SIDE, USUAL = 2, 224, 4       # a region of 224 × 224 pixels belongs on p4
LEVELS = 4                                  # p2 to p5
NOWHERE = np.array([0, 0, 1, 1], 'float32')


def level_of(boxes):
    """Places ``(R,)``, from 0, of the levels p2 to p5 that the boxes ``(R, 4)`` are pooled from."""
    with np.errstate(invalid='ignore'):
        sides = np.sqrt(np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0))
        level = np.floor(USUAL + np.log2(np.nan_to_num(sides) / USUAL_SIDE + 1e-8)) - FINEST
    return np.clip(level, 0, LEVELS - 1).astype(int)


def pool(levels, boxes, images, side):
    """The regions as ``(R, C, side, side)``, on the levels' device; zeros for regions that are empty or not finite.

    ``levels`` are p2, p3, p4, p5 as NDArrays ``(N, C, h, w)``, ``boxes`` ``(R, 4)`` in pixels of the images, at least
    one, and ``images`` ``(R,)`` the places of their images in the batch.
    """
    whole = are_whole(boxes)
    level = level_of(boxes)
    regions = np.concatenate([images[:, None], np.where(whole[:, None], boxes, NOWHERE)], 1).astype('float32')
    order, pooled = [], []
    for place, (features, stride) in enumerate(zip(levels, STRIDES)):
        chosen = np.flatnonzero(level == place)
        if len(chosen):
            order.append(chosen)
            pooled.append(_align(features, mx.nd.array(regions[chosen], ctx=features.context), side, stride))
    pooled = mx.nd.concat(*pooled, dim=0) if len(pooled) > 1 else pooled[0]
    inverse = np.argsort(np.concatenate(order), kind='stable')
    if (inverse[1:] < inverse[:-1]).any():
        pooled = mx.nd.take(pooled, mx.nd.array(inverse, ctx=pooled.context, dtype='int32'))
    if not whole.all():
        pooled = pooled * mx.nd.array(whole, ctx=pooled.context).reshape((-1, 1, 1, 1))
    return pooled


def _align(features, regions, side, stride):
    return mx.nd.contrib.ROIAlign(features, regions, pooled_size=(side, side), spatial_scale=1 / stride,
                                  sample_ratio=-1, aligned=True)
