"""A detector while it learns: the losses of a batch, from its pictures and what is in them."""
from dataclasses import dataclass

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import Block

from resnest.gluon import distributed

from ..detector import MASK_SIDE, stage_weights
from ..geometry.boxes import clip, decode, encode
from ..truth import IGNORED
from .losses import anchor_losses, kinds_loss, mask_loss, region_losses
from .rasterizing import mask_targets
from .targets import drawn_anchors, drawn_regions, joined, or_ground, relabelled

__all__ = ['Learner', 'Sampling', 'loss_names']


@dataclass(frozen=True)
class Sampling:
    """How much of a picture is learned from: ``anchors``, and ``regions`` among the ``proposals`` that are left of
    ``proposals_before`` on each level; at most ``anchor_share`` and ``region_share`` of them are objects."""
    anchors: int = 256
    anchor_share: float = 0.5
    regions: int = 512
    region_share: float = 0.25
    proposals_before: int = 2000
    proposals: int = 1000


def loss_names(spec):
    """Names of the losses of a detector of the row ``spec``, in the order of :class:`Learner`."""
    stages = [f'_{place}' for place in range(1, 1 + len(spec.ious))] if len(spec.ious) > 1 else ['']
    return ('rpn_class', 'rpn_box', *(f'{what}{stage}' for stage in stages for what in ('class', 'box')),
            *(['mask'] if spec.mask_convolutions else []), *(['kinds'] if spec.kinds else []))


class Learner(Block):
    """Takes what :class:`.Detector` takes, and the truths of the images; returns the losses of :func:`loss_names`.

    Each is an NDArray of one value. Means are over what all ranks have in this step together, so that the mean of a
    loss over the ranks is what one process with all of their images would have. In a job of several ranks a call is a
    collective.

    Parameters
    ----------
    detector : Detector
        Its children may be hybridized.
    sampling : Sampling
    kinds_weight : float
        Of the loss of the kinds of pixels.
    """

    def __init__(self, detector, sampling=None, kinds_weight=1.0, **kwargs):
        super().__init__(**kwargs)
        self.detector, self.sampling, self._kinds_weight = detector, sampling or Sampling(), kinds_weight

    def forward(self, x, sizes, truths, generators=None):
        """``x`` is ``(N, 3, H, W)``, ``sizes`` the images' own heights and widths, ``truths`` one :class:`.Truth` each;
        ``generators`` draw the samples of each image, the first ones are taken without."""
        net, generators = self.detector, generators or [None] * len(truths)
        levels = net.levels(x)
        outputs = [mx.nd.concat(*(each.astype('float32') for each in level), dim=1)
                   for level in zip(*(net.rpn(level) for level in levels))]
        losses = [*self._of_anchors(outputs, levels, truths, generators)]
        regions = self._regions(outputs, levels, sizes, truths, generators)
        losses += self._of_regions(levels, regions, sizes, truths)
        if net.mask_head is not None:
            losses.append(self._of_masks(levels, regions, truths))
        if net.semantic_head is not None:
            losses.append(self._of_kinds(levels, truths))
        return tuple(losses)

    def _of_anchors(self, outputs, levels, truths, generators):
        chosen, anchors = self.sampling, np.concatenate(self.detector.anchors(levels))
        drawn = [drawn_anchors(anchors, truth, chosen.anchors, chosen.anchor_share, generator)
                 for truth, generator in zip(truths, generators)]
        return anchor_losses(*outputs, drawn, chosen.anchors * len(truths))

    def _regions(self, outputs, levels, sizes, truths, generators):
        chosen, spec = self.sampling, self.detector.spec
        with autograd.pause():
            ends = np.cumsum([len(each) for each in self.detector.anchors(levels)])
            by_level = [[each.slice_axis(1, begin, end) for begin, end in zip([0, *ends], ends)] for each in outputs]
            proposals = self.detector.propose(*by_level, levels, sizes, chosen.proposals_before, chosen.proposals)
        drawn = joined([drawn_regions(boxes, truth, image, spec.classes, chosen.regions, chosen.region_share,
                                      spec.ious[0], generator)
                        for image, ((boxes, _), truth, generator) in enumerate(zip(proposals, truths, generators))])
        return or_ground(drawn, spec.classes)

    def _of_regions(self, levels, regions, sizes, truths):
        net, losses, deltas = self.detector, [], None
        for place, head in enumerate(net.box_heads):
            if place:
                boxes = clip(decode(deltas.asnumpy(), regions.boxes, stage_weights(place - 1), net.convention.growth)
                             [:, 0], *np.array(sizes)[regions.images].T)
                regions = relabelled(boxes, regions.images, truths, net.spec.classes, net.spec.ious[place])
            pooled = net.box_pooling(levels, regions.boxes, regions.images)
            if len(net.box_heads) > 1:
                pooled = mx.nd.contrib.gradientmultiplier(pooled, scalar=1 / len(net.box_heads))
            logits, deltas = (each.astype('float32') for each in head(pooled))
            known, wanted = regions.classes < net.spec.classes, np.zeros_like(regions.boxes)
            wanted[known] = encode(regions.boxes[known], regions.wanted[known], stage_weights(place))
            losses += region_losses(logits, deltas, regions.classes, wanted, shared(len(regions), f'regions {place}'))
        return losses

    def _of_masks(self, levels, regions, truths):
        """Where no region is an object the first stands in with no weight: all ranks compute the same layers. It does
        count in the statistics of a synchronized norm, which one process with all pictures would not see it in."""
        net = self.detector
        known = regions[regions.classes < net.spec.classes]
        count = shared(len(known), 'masks')
        some = known if len(known) else regions[:1]
        logits = net.mask_head(net.mask_pooling(levels, some.boxes, some.images)).astype('float32')
        if not len(known):
            return logits.sum() * 0
        return mask_loss(logits, known.classes, mask_targets(known, truths, 2 * MASK_SIDE), count)

    def _of_kinds(self, levels, truths):
        logits = self.detector.semantic_head(*levels[:-1]).astype('float32')
        kinds = np.full((len(truths), *logits.shape[2:]), IGNORED, 'uint8')
        for place, truth in enumerate(truths):
            height, width = truth.kinds.shape
            kinds[place, :height, :width] = truth.kinds
        counted = kinds != IGNORED
        return self._kinds_weight * kinds_loss(logits, kinds, counted, shared(counted.sum(), 'pixels'))


def shared(count, name):
    """The mean of a count over the ranks, 1 where it is 0."""
    job = distributed.current()
    return float(job.total([count], name)[0]) / job.size or 1.0
