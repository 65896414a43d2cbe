"""The detector: backbone, pyramid, proposals, box heads in a cascade (Cai and Vasconcelos, 2018,
https://arxiv.org/abs/1712.00726), masks and kinds of pixels."""
import mxnet as mx
import numpy as np
from mxnet.gluon import Block, nn

from resnest.errors import InputError
from resnest.gluon.models.resnet import check_images
from resnest.reading import one_line

from .geometry import anchors, suppression
from .geometry.boxes import clip, decode
from .geometry.conventions import CONVENTIONS
from .geometry.sizes import COARSEST
from .parts.box_head import BoxHead
from .parts.mask_head import MaskHead
from .parts.pooling import RegionPooling
from .parts.proposal_head import ProposalHead
from .parts.pyramid import STRIDES, FeaturePyramid
from .parts.semantic_head import SemanticHead

__all__ = ['BOX_SIDE', 'BOX_WEIGHTS', 'Detector', 'MASK_SIDE', 'stage_weights']

BOX_SIDE, MASK_SIDE = 7, 14         # of pooled regions
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


class Detector(Block):
    """Faster, Mask, Cascade or Panoptic R-CNN; takes normalized images ``(N, 3, H, W)``.

    Their channels come in ``spec.channel_order``, as ``spec.mean`` and ``spec.std`` do: BGR for the paper's baselines,
    of which the published weights are kept as they are, RGB for all others (:func:`.finding.detect` takes RGB always).
    Returns, as gluoncv's, ``ids (N, D, 1)``, ``scores (N, D, 1)`` and ``boxes (N, D, 4)`` in pixels of the images, with
    a mask head ``masks (N, D, 28, 28)``, probabilities over the boxes, and with a semantic one ``kinds (N, kinds, H,
    W)``, logits. D is ``spec.detections``; the best come first, and rows without a detection hold -1. All of it is
    float32.

    Parameters
    ----------
    backbone : HybridBlock
        Returns the outputs of four stages; ``backbone.channels`` counts their channels.
    spec : DetectionSpec
        Row of the table; it stays at hand as ``net.spec``.
    norm_layer : type
    norm_kwargs : dict
        Of the pyramid and the heads.

    ``classifiers`` names the layers that depend on the classes; of the outputs of the first one ``background`` are no
    classes. The children ``backbone``, ``fpn``, ``rpn``, ``box_heads``, ``mask_head``, ``semantic_head`` can be
    hybridized; what happens to boxes between them is done in NumPy.
    """

    background = 1

    def __init__(self, backbone, spec, norm_layer=nn.BatchNorm, norm_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        self.spec, self.in_channels = spec, backbone.in_channels
        norm = dict(norm_layer=norm_layer, norm_kwargs=norm_kwargs)
        usual, mask_norm = (norm if wanted else {} for wanted in (spec.norm, spec.mask_norm))
        self.convention = CONVENTIONS[spec.convention]
        with self.name_scope():
            self.backbone = backbone
            self.fpn = FeaturePyramid(backbone.channels, spec.channels, self.convention, **usual)
            self.rpn = ProposalHead(spec.channels, len(spec.anchor_ratios))
            self.box_pooling = RegionPooling(BOX_SIDE, self.convention)
            self.box_heads = nn.HybridSequential()
            for _ in spec.ious:
                self.box_heads.add(BoxHead(spec.channels, BOX_SIDE, spec.classes, spec.box_convolutions, spec.box_dense,
                                           spec.box_units, spec.agnostic, **usual))
            self.mask_pooling = RegionPooling(MASK_SIDE, self.convention)
            self.mask_head = MaskHead(spec.channels, spec.classes, spec.mask_convolutions, **mask_norm) \
                if spec.mask_convolutions else None
            self.semantic_head = SemanticHead(spec.channels, spec.kinds, **usual) if spec.kinds else None
        heads = [f'box_heads.{place}' for place in range(len(spec.ious))]
        self.classifiers = (*(f'{head}.logits' for head in heads),
                            *(f'{head}.deltas' for head in heads if not spec.agnostic),
                            *(['mask_head.logits'] if self.mask_head is not None else []),
                            *(['semantic_head.logits'] if self.semantic_head is not None else []))

    def forward(self, x, sizes=None):
        """``sizes`` are the heights and widths ``(N, 2)`` of images that ``x`` holds with zeros to their right and
        below; without them each fills its place. Raises InputError for what is no batch of images, and for sizes that
        do not fit it."""
        self.check(x)
        sizes = _checked(sizes, x)
        levels, logits, deltas, kinds = self.see(x)
        proposals = [boxes for boxes, _ in self.propose(logits, deltas, levels, sizes)]
        found = [suppression.detect(boxes, scores, size, self.spec.least_score, self.spec.overlap, self.spec.detections,
                                    self.convention.clipped)
                 for boxes, scores, size in zip(*self.refine(levels, proposals, sizes), sizes)]
        results = [*_filled(found, self.spec.detections)]
        if self.mask_head is not None:
            results.append(self.masks(levels, found))
        results = [mx.nd.array(each, ctx=x.context) for each in results]
        if kinds is not None:
            results.append(kinds[:, :, :x.shape[2], :x.shape[3]].astype('float32'))
        return tuple(results)

    @property
    def device(self):
        """The context of its parameters, the first one if there are several."""
        return self.rpn.conv.weight.list_ctx()[0]

    def check(self, x):
        """Raise InputError where ``x`` is no batch of images."""
        check_images(x, self.backbone)

    def see(self, x):
        """What does not depend on boxes: the pyramid, logits and differences as :meth:`outputs` has them, and the
        logits of the kinds of pixels, None without a semantic head."""
        levels = self.levels(x)
        kinds = None if self.semantic_head is None else self.semantic_head(*levels[:-1])
        return (levels, *self.outputs(levels), kinds)

    def levels(self, x):
        """The pyramid ``(p2, …, p6)`` of images, :meth:`padded`."""
        return self.fpn(*self.backbone(self.padded(x)))

    def padded(self, x):
        """Images with zeros to multiples of 32 pixels, where the convention says so."""
        missing = [-length % COARSEST for length in x.shape[2:]]
        if self.convention.padded and any(missing):
            x = mx.nd.pad(x, mode='constant', pad_width=(0, 0, 0, 0, 0, missing[0], 0, missing[1]))
        return x

    def outputs(self, levels):
        """Logits ``(N, A)`` and differences ``(N, A, 4)`` of all levels' anchors, as two lists."""
        return zip(*(self.rpn(level) for level in levels))

    def anchors(self, levels):
        """The levels' anchors, each ``(A, 4)``."""
        return [anchors.grid(*level.shape[2:], stride, size, self.spec.anchor_ratios, self.convention.rounded)
                for level, stride, size in zip(levels, STRIDES, self.spec.anchor_sizes)]

    def propose(self, logits, deltas, levels, sizes, before=None, most=None):
        """``[(boxes (P, 4), logits (P,))]`` of the images, arrays of NumPy (:func:`.suppression.propose`); ``before``
        and ``most`` are the row's unless given."""
        logits, deltas = ([level.astype('float32').asnumpy() for level in each] for each in (logits, deltas))
        return [suppression.propose([level[image] for level in logits], [level[image] for level in deltas],
                                    self.anchors(levels), size, before or self.spec.proposals_before,
                                    most or self.spec.proposals, self.spec.proposal_overlap, self.convention)
                for image, size in enumerate(sizes)]

    def refine(self, levels, proposals, sizes):
        """Boxes ``(P, K, 4)`` and scores ``(P, classes)`` of each image, as two lists: each head refines the boxes of
        the one before it, and the scores are the mean of theirs."""
        counts = [len(boxes) for boxes in proposals]
        ends = np.cumsum(counts)[:-1]
        images = np.repeat(np.arange(len(counts)), counts)
        limits = np.array(sizes)[images].T
        boxes = np.concatenate(proposals)
        if not len(boxes):
            return [np.zeros((0, 1, 4), 'float32')] * len(counts), [np.zeros((0, self.spec.classes))] * len(counts)
        scores, decoded = 0, None
        for place, head in enumerate(self.box_heads):
            boxes = clip(decoded[:, 0], *limits) if place else boxes
            logits, deltas = head(self.box_pooling(levels, boxes, images))
            scores = scores + mx.nd.softmax(logits.astype('float32')).asnumpy()
            decoded = decode(deltas.astype('float32').asnumpy(), boxes, stage_weights(place),
                             self.convention.growth)
        scores = scores[:, :-1] / len(self.box_heads)
        return np.split(decoded, ends), np.split(scores, ends)

    def masks(self, levels, found):
        """The probabilities ``(N, D, 28, 28)`` of the detections ``[(boxes, scores, classes)]`` of the images."""
        side = 2 * MASK_SIDE
        result = np.full((len(found), self.spec.detections, side, side), -1, 'float32')
        counts = [len(boxes) for boxes, *_ in found]
        images = np.repeat(np.arange(len(counts)), counts)
        if len(images):
            boxes, classes = (np.concatenate([each[part] for each in found]) for part in (0, 2))
            logits = self.mask_head(self.mask_pooling(levels, boxes, images))
            which = mx.nd.array(np.stack([np.arange(len(classes)), classes]), ctx=logits.context, dtype='int32')
            masks = mx.nd.sigmoid(mx.nd.gather_nd(logits, which).astype('float32')).asnumpy()
            result[images, np.concatenate([np.arange(count) for count in counts])] = masks
        return result

    def __repr__(self):
        return f'Detector({self.spec.name}, classes={self.spec.classes})'

    def __str__(self):
        return super().__repr__()


def stage_weights(place):
    """The weights of the differences in a stage of the cascade: the later, the finer."""
    return tuple((place + 1) * weight for weight in BOX_WEIGHTS)


def _checked(sizes, x):
    if sizes is None:
        return [x.shape[2:]] * len(x)
    sizes = [(int(height), int(width)) for height, width in sizes]
    if len(sizes) != len(x) or not all(0 < height <= x.shape[2] and 0 < width <= x.shape[3] for height, width in sizes):
        raise InputError(f'sizes must be {len(x)} heights and widths up to {x.shape[2]} x {x.shape[3]} px, got '
                         f'{one_line(sizes)}')
    return sizes


def _filled(found, most):
    """Ids, scores and boxes as arrays with ``most`` rows for each image."""
    ids, scores, boxes = (np.full((len(found), most, last), -1, 'float32') for last in (1, 1, 4))
    for image, (own_boxes, own_scores, classes) in enumerate(found):
        count = len(classes)
        ids[image, :count, 0], scores[image, :count, 0], boxes[image, :count] = classes, own_scores, own_boxes
    return ids, scores, boxes
