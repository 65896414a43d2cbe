"""A detector whose networks run as fast as mxnet's oneDNN runs them on a CPU."""
import mxnet as mx
import numpy as np
from mxnet.gluon import Block, HybridBlock

from resnest.errors import InputError
from resnest.gluon.inference.optimized.optimization import optimize
from resnest.gluon.inference.optimized.precision import require_cpu
from resnest.gluon.nn import use_native

from .detector import BOX_SIDE, MASK_SIDE, Detector
from .finding import require_finite
from .geometry.agreement import agreement_of, rows_found
from .geometry.sizes import COARSEST
from .parts.pooling import RegionPooling

__all__ = ['OptimizedDetector', 'Stages', 'Trunk', 'make_engine', 'optimize_detector']

REGIONS = 128           # that a head computes at once: their maps stay in the cache
MASKED_REGIONS = 32     # of twice the side
LEARNED = 128           # regions of a batch that int8 learns from
SIDE = 128              # pixels, of the picture that stands for those that are not given
USUAL = (800, 1088)     # pixels, that most pictures have


def optimize_detector(net, batches=None, precision='float32', native=None, agreement=None, winograd=True):
    """Make a detector ready for fast inference on this machine's CPU; ``net`` itself stays as it is.

    Backbone, pyramid, proposal head and semantic head become one graph, each box head and the mask head one of its own
    (:func:`resnest.gluon.inference.optimize`). With int8 the semantic head stays as it is.

    Parameters
    ----------
    net : Detector
        With its parameters loaded.
    batches : iterable of NDArray
        Normalized images ``(N, 3, H, W)``, of several sizes if need be. int8 needs them to learn its ranges; in every
        precision the report compares the detections of both on them.
    precision : 'float32', 'bfloat16' or 'int8'
    native, agreement, winograd
        As :func:`resnest.gluon.inference.optimize` has them, but that regions are pooled by the native operator, where
        it can be loaded, unless ``native`` is False; the agreement of a box head is that of the classes of proposals.

    Returns an :class:`OptimizedDetector`. Raises InputError for a precision that is unknown or that this CPU lacks, for
    int8 without images, and for weights that give values that are not finite.
    """
    require_cpu(precision)
    if not isinstance(net, Detector) or isinstance(net, OptimizedDetector):
        raise InputError(f'a detector can be optimized that is not yet, got {type(net).__name__}')
    given = [net.padded(x) for x in batches or ()]
    if not given and precision == 'int8':
        raise InputError('int8 needs calibration images: the calibration set is empty')
    learned = given or [mx.nd.array(np.random.RandomState(0).normal(size=(1, 3, SIDE, SIDE)))]
    rest = dict(precision=precision, native=native, agreement=agreement)
    alike = _alike(learned)
    shape = (1, net.in_channels, *USUAL)
    trunk = optimize(Trunk(net, semantic=precision != 'int8'), alike[0], calibration=alike, **rest,
                     winograd=winograd and (bool(given) or shape))
    made = OptimizedDetector(net, trunk, [*map(_Recorder, net.box_heads)], net.mask_head and _Recorder(net.mask_head))
    _record(made, learned)
    heads = {**rest, 'winograd': winograd}
    made.box_heads = [_optimized_head(head, REGIONS, heads) for head in made.box_heads]
    if net.mask_head is not None:
        made.mask_head = _optimized_head(made.mask_head, MASKED_REGIONS, heads)
    made.precision = precision
    if native is not False:
        for pooling in (made.box_pooling, made.mask_pooling):
            use_native(pooling)
    made.report = {'trunk': made.trunk.report, 'box_heads': [head.net.report for head in made.box_heads],
                   **({'mask_head': made.mask_head.net.report} if net.mask_head is not None else {}),
                   **(_compared(made, net, given) if given else {})}
    return made


def make_engine(net, precision, device, calibration, say=None):
    """A detector as it computes on a device: optimized on a CPU, where ``calibration()`` gives the batches for other
    precisions than float32. Raises InputError as :func:`optimize_detector`, for weights that are not finite, and for
    another precision than float32 on a GPU."""
    require_finite(net)
    if device.device_type != 'cpu':
        if precision != 'float32':
            raise InputError(f'--precision {precision} is for CPUs; add --no-cuda')
        net.hybridize(static_alloc=True)
        return net
    made = optimize_detector(net, None if precision == 'float32' else calibration(), precision)
    if say and precision != 'float32':
        say(made.describe())
    return made


class OptimizedDetector(Detector):
    """What :func:`optimize_detector` returns: called as the :class:`.Detector` that it was made from.

    ``precision`` is what it computes in, ``report`` a dict of what was done to its parts and, where there were images,
    ``detections`` of the detector that it was made from, ``detections_agreement``, the share of them that it finds too
    (the same class, overlap of at least 0.5), and ``score_difference``, by how much their scores differ at most. It has
    no file: keep the weights, and optimize again.
    """

    def __init__(self, net, trunk, box_heads, mask_head):
        Block.__init__(self)
        self.spec, self.in_channels, self.convention = net.spec, net.in_channels, net.convention
        self.description = getattr(net, 'description', None)
        self.smallest = net.backbone.smallest
        self.box_pooling, self.mask_pooling = (RegionPooling(side, self.convention) for side in (BOX_SIDE, MASK_SIDE))
        self.trunk, self.box_heads, self.mask_head = trunk, box_heads, mask_head
        self.semantic_head = net.semantic_head
        self.precision, self.report = 'float32', {}

    @property
    def device(self):
        return mx.cpu()

    def check(self, x):
        self.trunk.check(x)
        if min(x.shape[2:]) < self.smallest:
            raise InputError(f'the network takes images of at least {self.smallest} x {self.smallest} px, got '
                             f'{x.shape[2]} x {x.shape[3]}')

    def see(self, x):
        found = self.trunk(self.padded(x))
        count = len(self.spec.anchor_sizes)
        levels, maps, kinds = found[:count], found[count:3 * count], found[3 * count:]
        logits = [each.reshape((0, -1)) for each in maps[::2]]
        deltas = [each.reshape((0, -1, 4)) for each in maps[1::2]]
        if self.semantic_head is not None and not kinds:
            kinds = [self.semantic_head(*levels[:-1])]
        return levels, logits, deltas, kinds[0] if kinds else None

    def levels(self, x):
        return self.see(x)[0]

    def save_parameters(self, *args, **kwargs):
        raise InputError('an optimized detector has no file: save the one that it was made from, and optimize it again')

    def __repr__(self):
        return f'OptimizedDetector({self.spec.name}, classes={self.spec.classes}, {self.precision})'

    def describe(self):
        """The report as lines of text."""
        parts = {'backbone to proposals': self.report['trunk'],
                 **{f'box head {number}': each for number, each in enumerate(self.report['box_heads'], 1)},
                 **({'mask head': self.report['mask_head']} if 'mask_head' in self.report else {})}
        lines = [f'precision: {self.precision}']
        for name, report in parts.items():
            kept = [layer for layer in report.get('in_float32', ()) if '.conv2.fc' not in layer]
            lines.append(f"{name}: in float32 {', '.join(kept)}" if kept and self.precision != 'float32' else
                         f'{name}: {self.precision}')
        if 'detections_agreement' in self.report:
            lines.append('the same detections: {detections_agreement:.1%} of {detections}; scores differ by up to '
                         '{score_difference:.4f}'.format(**self.report) if self.report['detections'] else
                         'the same detections: not known, for there is none in the images to compare with')
        return '\n'.join(lines)


class Trunk(HybridBlock):
    """From images to the levels, the proposal head's maps of each, and the kinds of pixels, with the detector's own
    parts. The semantic head stays out of int8, in which its sums of enlarged maps come out wrong."""

    def __init__(self, net, semantic=True, **kwargs):
        super().__init__(**kwargs)
        self.backbone, self.fpn, self.rpn, self.in_channels = net.backbone, net.fpn, net.rpn, net.in_channels
        self.semantic_head = net.semantic_head if semantic else None

    def hybrid_forward(self, F, x):
        levels = self.fpn(*self.backbone(x))
        maps = [each for level in levels for each in self.rpn.maps(F, level)]
        return (*levels, *maps, *([] if self.semantic_head is None else [self.semantic_head(*levels[:-1])]))


class Stages(HybridBlock):
    """The backbone of a detector alone, or with its pyramid, for those who time them."""

    def __init__(self, net, pyramid=False, **kwargs):
        super().__init__(**kwargs)
        self.backbone, self.fpn = net.backbone, net.fpn if pyramid else None

    def hybrid_forward(self, F, x):
        stages = self.backbone(x)
        return stages if self.fpn is None else self.fpn(*stages)


class _Recorder:
    """A head that keeps some of what it is given."""

    def __init__(self, net):
        self.net, self.seen = net, []

    def __call__(self, x):
        picked = np.unique(np.linspace(0, len(x) - 1, LEARNED).astype(int))
        self.seen.append(mx.nd.take(x, mx.nd.array(picked)))
        return self.net(x)


class _Batched:
    """A head whose regions come in batches of one size, the last one filled up with zeros."""

    def __init__(self, net, size):
        self.net, self.size = net, size

    def __call__(self, x):
        found = []
        for start in range(0, len(x), self.size):
            part = x[start:start + self.size]
            missing = self.size - len(part)
            if missing:
                part = mx.nd.concat(part, mx.nd.zeros((missing, *x.shape[1:])), dim=0)
            outputs = self.net(part)
            found.append([each[:self.size - missing].copy()      # whose memory is used again
                          for each in (outputs if self.net.several else [outputs])])
        found = [mx.nd.concat(*parts, dim=0) for parts in zip(*found)]
        return found if self.net.several else found[0]


def _optimized_head(recorder, size, rest):
    if not recorder.seen:
        raise InputError('the images give no proposals to optimize the heads with; give others')
    regions = mx.nd.concat(*recorder.seen, dim=0)
    return _Batched(optimize(recorder.net, regions[:size], calibration=[regions], **rest), size)


def _record(made, batches):
    """Have the heads see the proposals of the images."""
    for x in batches:
        levels, logits, deltas, _ = made.see(x)
        sizes = [x.shape[2:]] * len(x)
        proposals = [boxes for boxes, _ in made.propose(logits, deltas, levels, sizes)]
        made.refine(levels, proposals, sizes)
        if made.mask_head is not None:
            most = made.spec.detections
            made.masks(levels, [(boxes[:most], None, np.zeros(len(boxes[:most]), int)) for boxes in proposals])


def _alike(batches):
    """The batches at one size, with zeros to the right and below."""
    height, width = (max(-(-x.shape[axis] // COARSEST) * COARSEST for x in batches) for axis in (2, 3))
    return [mx.nd.pad(x, mode='constant', pad_width=(0, 0, 0, 0, 0, height - x.shape[2], 0, width - x.shape[3]))
            for x in batches]


def _compared(made, net, batches):
    """How the detections of two detectors differ, for the report."""
    pairs = [pair for x in batches for pair in zip(rows_found(net(x)), rows_found(made(x)))]
    wanted, matched, difference = (sum(values) if place < 2 else max(values) for place, values in
                                   enumerate(zip(*(agreement_of(*pair) for pair in pairs))))
    return {'detections': wanted, 'detections_agreement': matched / wanted if wanted else 1.0,
            'score_difference': difference}
