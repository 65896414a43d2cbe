"""What a region sees: its part of the level that suits its size (Lin et al., 2017, https://arxiv.org/abs/1612.03144,
section 4.2), by RoIAlign."""
import mxnet as mx
import numpy as np
from mxnet.gluon import Block

from resnest.gluon.nn import RoIAlign

from ..geometry.boxes import areas
from ..geometry.conventions import CONVENTIONS
from .pyramid import STRIDES

__all__ = ['RegionPooling', 'level_of']

FINEST, USUAL_SIDE, USUAL = 2, 224, 4       # a region of 224 × 224 pixels belongs on p4
LEVELS = 4                                  # p2 to p5


class RegionPooling(Block):
    """Takes p2, p3, p4, p5 as NDArrays ``(N, C, h, w)``, regions, and the places ``(R,)`` of their images in the batch;
    returns ``(R, C, side, side)`` on the levels' device.

    The regions are an array of NumPy ``(R, 4)``, at least one, in pixels of the images; empty ones, and those that are
    not finite, give zeros. Of the ``convention`` count ``extra``, ``aligned`` and ``samples``. With ``native``, which
    :func:`resnest.gluon.nn.use_native` sets, maps of float32 on a CPU are pooled by one operator for all levels.
    """
    library = 'roi_align'

    def __init__(self, side, convention=CONVENTIONS['detectron2'], **kwargs):
        super().__init__(**kwargs)
        self.native = False
        self._side, self._convention = side, convention
        self._aligns = [RoIAlign(side, 1 / stride, convention.samples) for stride in STRIDES[:LEVELS]]
        for align in self._aligns:
            self.register_child(align)

    def forward(self, levels, boxes, images):
        assigned = level_of(boxes, self._convention.extra)
        if not self._convention.aligned:
            boxes = _shifted(boxes, np.take(STRIDES, assigned)[:, None])
        if self.native and levels[0].context.device_type == 'cpu' and levels[0].dtype == np.float32:
            regions = np.concatenate([images[:, None], boxes, assigned[:, None]], 1)
            return mx.nd.roi_align(*levels[:LEVELS], mx.nd.array(regions), size=self._side,
                                   scales=[1 / stride for stride in STRIDES[:LEVELS]],
                                   sampling_ratio=self._convention.samples)
        regions = np.concatenate([images[:, None], boxes], 1).astype('float32')
        order = np.argsort(assigned, kind='stable')
        ends = np.searchsorted(assigned[order], np.arange(LEVELS + 1))
        pooled = [align(features, mx.nd.array(regions[order[begin:end]], ctx=features.context))
                  for features, align, begin, end in zip(levels, self._aligns, ends, ends[1:]) if end > begin]
        if len(pooled) == 1:
            return pooled[0]
        back = mx.nd.array(np.argsort(order), ctx=levels[0].context, dtype='int32')
        return mx.nd.take(mx.nd.concat(*pooled, dim=0), back)


def level_of(boxes, extra=0):
    """Places ``(R,)``, from 0, of the levels p2 to p5 that the boxes ``(R, 4)``, with sides longer by ``extra``, are
    pooled from."""
    with np.errstate(over='ignore', invalid='ignore'):
        sides = np.nan_to_num(np.sqrt(areas(boxes + np.array([0, 0, extra, extra], 'float32'))))
    level = np.floor(USUAL + np.log2(sides / USUAL_SIDE + 1e-8)) - FINEST
    return np.clip(level, 0, LEVELS - 1).astype(int)


def _shifted(boxes, strides):
    """The boxes that aligned pooling treats as unaligned pooling does these."""
    with np.errstate(over='ignore', invalid='ignore'):
        low, high = boxes[:, :2], boxes[:, 2:]
        return np.concatenate([low, np.maximum(high, low + strides)], 1) + strides / 2
