"""Detectors as contenders of the benchmark: one picture from its pixels to its boxes, and the time of its parts."""
import statistics
import time

__all__ = ['GLUONCV_DETECTORS', 'PARTS', 'gluoncv_detector', 'image_shape', 'our_detector', 'time_parts', 'work']

PARTS = ('picture', 'backbone', 'pyramid', 'proposal head', 'proposals', 'regions', 'heads', 'boxes')
GLUONCV = {depth: f'faster_rcnn_fpn_syncbn_resnest{depth}_coco' for depth in (50, 101, 269)}
# Names of ours → the network of gluoncv that is alike.
GLUONCV_DETECTORS = {**{name: name for name in GLUONCV.values()},
                     **{f'faster_rcnn_fpn_resnest{depth}': GLUONCV[depth] for depth in (50, 101)}}
GAINS = {'logits.weight': 3, 'deltas.weight': 0.3}      # of the last layers: a usual number of boxes of usual sizes
MULTIPLE = 32


def image_shape(settings):
    """``(N, 3, H, W)``: the image size is the short side, the long one 1.36 times it, as 1088 is of 800."""
    size = settings['image_size']
    return settings['batch_size'], 3, size, round(1.36 * size / MULTIPLE) * MULTIPLE


def work(net, size):
    """Parameters and multiply-adds of a detector for one picture, with as many proposals as there can be, but without
    masks and deformable convolutions."""
    import numpy as np

    from resnest.gluon.models import complexity
    from resnest.gluon.tasks.detection.detector import BOX_SIDE
    from resnest.gluon.tasks.detection.optimizing import Trunk
    parameters = sum(int(np.prod(param.shape)) for param in net.collect_params().values() if param.grad_req != 'null')
    trunk = complexity(Trunk(net), image_shape({'batch_size': 1, 'image_size': size})[2:])[1]
    return parameters, trunk + net.spec.proposals * sum(complexity(head, BOX_SIDE)[1] for head in net.box_heads)


def our_detector(settings):
    """The optimized detector, its weights random, and mxnet."""
    from resnest.gluon.tasks.detection import get_model
    from resnest.gluon.tasks.detection.optimizing import optimize_detector
    net = get_model(settings['model'])
    import mxnet as mx
    initialize(net, mx)
    calibration = [mx.nd.random.normal(shape=image_shape(settings))] if settings['precision'] == 'int8' else None
    # Random weights agree with nothing: every layer in int8.
    return optimize_detector(net, calibration, settings['precision'], agreement=0), net, mx


def gluoncv_detector(settings):
    """gluoncv's detector with random weights, and mxnet."""
    import mxnet as mx
    from gluoncv.model_zoo import get_model
    net = get_model(GLUONCV_DETECTORS[settings['model']], pretrained=False, pretrained_base=False)
    net.initialize()
    net(mx.nd.zeros((1, 3, 64, 64)))        # which tells it the shapes of its parameters
    initialize(net, mx)
    net.hybridize(static_alloc=True)
    return net, mx


def initialize(net, mx):
    """Random weights, so that values stay in bounds and some boxes are found."""
    import numpy as np

    from resnest.gluon.mxnet_private import structural_parameters
    rng = np.random.default_rng(0)
    for name, param in structural_parameters(net).items():
        if 'anchors' in name:
            continue
        if param.grad_req == 'null':
            value = np.ones(param.shape) if name.endswith('var') else np.zeros(param.shape)
        elif len(param.shape) == 1:
            value = np.zeros(param.shape) if not name.endswith('gamma') else \
                np.full(param.shape, 0.2 if 'bn3' in name else 1.0)
        else:
            gain = next((gain for ending, gain in GAINS.items() if name.endswith(ending)), 2 ** 0.5)
            value = rng.normal(size=param.shape) * gain / np.prod(param.shape[1:]) ** 0.5
        param.initialize(mx.init.Zero(), force_reinit=True)
        param.set_data(mx.nd.array(value))


def time_parts(made, net, x, rounds=1):
    """Seconds of each of :data:`PARTS` of the detector ``made`` from ``net`` on ``x``: the median of some rounds, after
    one to warm up.

    The backbone and the pyramid are timed as graphs of their own, and what the whole graph takes beyond them is the
    proposal head's. ``boxes`` is the suppression of those that the last head gives.
    """
    import numpy as np

    from resnest.gluon.inference import optimize
    from resnest.gluon.tasks.detection.optimizing import Stages
    rest = dict(precision=made.precision, calibration=[x] if made.precision == 'int8' else None, agreement=0)
    backbone, pyramid = (optimize(Stages(net, whole), x, **rest) for whole in (False, True))
    size = x.shape[2:]
    pixels = np.random.default_rng(0).integers(0, 255, (size[0] * 3 // 5, size[1] * 3 // 5, 3), dtype=np.uint8)
    found = [_one_round(made, (backbone, pyramid), net, x, pixels) for _ in range(rounds + 1)]
    return dict(zip(PARTS, (max(0.0, statistics.median(each)) for each in zip(*found[1:]))))


def _one_round(made, graphs, net, x, pixels):
    """The seconds of the parts in their order."""
    import mxnet as mx
    import numpy as np

    from resnest.gluon.tasks.detection.finding import network_input
    from resnest.gluon.tasks.detection.geometry import suppression
    size, seconds = x.shape[2:], []

    def timed(function, *args):
        mx.nd.waitall()
        start = time.perf_counter()
        result = function(*args)
        mx.nd.waitall()
        seconds.append(time.perf_counter() - start)
        return result

    timed(network_input, net, pixels, *size)
    for graph in graphs:
        timed(graph, x)
    levels, logits, deltas, _ = timed(made.see, x)
    [(proposals, _)] = timed(made.propose, logits, deltas, levels, [size])
    pooled = timed(made.box_pooling, levels, proposals, np.zeros(len(proposals)))
    timed(lambda: [head(pooled) for head in made.box_heads])
    [boxes], [scores] = made.refine(levels, [proposals], [size])
    spec = made.spec
    timed(suppression.detect, boxes, scores, size, spec.least_score, spec.overlap, spec.detections)
    picture, first, second, trunk, *rest = seconds
    return picture, first, second - first, trunk - second, *rest
