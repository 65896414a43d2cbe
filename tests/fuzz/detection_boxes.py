"""Boxes of every kind, as damaged weights and files give them, through every part of a detector that takes boxes:
geometry, what is learned from, pooling and heads, suppression, masks and drawing."""
import functools
import warnings

import mxnet as mx
import numpy as np

from resnest.gluon.nn import use_native
from resnest.gluon.tasks.detection import get_model
from resnest.gluon.tasks.detection.drawing import draw
from resnest.gluon.tasks.detection.finding import Detections
from resnest.gluon.tasks.detection.geometry import agreement, boxes, matching, pasting, suppression
from resnest.gluon.tasks.detection.geometry.conventions import CONVENTIONS
from resnest.gluon.tasks.detection.learning.rasterizing import mask_targets
from resnest.gluon.tasks.detection.learning.targets import drawn_anchors, drawn_regions, joined, relabelled
from resnest.gluon.tasks.detection.truth import Truth

ODD = (np.nan, np.inf, -np.inf, 0, -0.0, -1, 1e9, -1e9, 3e38, -3e38, 1e-38, 1e-45)
HEIGHT, WIDTH, CLASSES = 64, 96, 3


def case(rng, folder):
    warnings.simplefilter('ignore', RuntimeWarning)
    (geometry, learning, network, found)[rng.integers(4)](rng)


def any_boxes(rng, count):
    """``(count, 4)``: sound ones, and empty, turned, far, huge and tiny ones, and those that are no numbers."""
    corner, sides = rng.uniform(-20, 100, (count, 2)), np.exp(rng.uniform(-3, 6, (count, 2)))
    made = np.concatenate([corner, corner + sides], 1)
    kind = rng.integers(8, size=count)
    made[kind == 3, 2] = made[kind == 3, 0]
    made[kind == 4] = made[kind == 4][:, [2, 3, 0, 1]]
    made[kind == 5] *= 10.0 ** rng.integers(-40, 36, ((kind == 5).sum(), 1))
    odd = (kind[:, None] > 5) & (rng.random((count, 4)) < 0.5)
    made[odd] = rng.choice(ODD, odd.sum())
    with np.errstate(over='ignore'):
        return made.astype('float32')


def any_scores(rng, *shape):
    scores = rng.uniform(size=shape).astype('float32')
    odd = rng.random(shape) < 0.1
    scores[odd] = rng.choice(ODD, odd.sum()).astype('float32')
    return scores


def geometry(rng):
    """Proposals and detections are sound boxes in the picture, whatever they are made from."""
    count, convention = int(rng.integers(0, 200)), CONVENTIONS[str(rng.choice(list(CONVENTIONS)))]
    size, threshold = (HEIGHT, WIDTH), float(rng.choice([0, 0.3, 0.7, 1]))
    made, others = any_boxes(rng, count), any_boxes(rng, 20)
    assert np.shape(boxes.encode(made[:20], others[:count])) == (min(20, count), 4)
    decoded = boxes.decode(any_boxes(rng, count), made)
    overlap = boxes.overlaps(made, others)
    assert not (overlap > 1 + 1e-5).any(), 'an overlap above 1'
    matching.match(made, others[:rng.integers(20)], 0.3, 0.7, best_too=True)
    kept, logits = suppression.propose([any_scores(rng, count)] * 2, [any_boxes(rng, count)] * 2, [made, others[:1]
                                       .repeat(count, 0)], size, 50, 30, threshold, convention)
    assert len(kept) == len(logits) <= 30, 'too many'
    assert boxes.are_whole(kept).all(), 'a proposal that is no box'
    assert (boxes.clip(kept, *size) == kept).all(), 'a proposal outside of the picture'
    last, scores, classes = suppression.detect(decoded if rng.integers(2) else np.repeat(decoded, CLASSES, 1),
                                               any_scores(rng, count, CLASSES), size, 0.05, threshold, 20)
    assert len(last) == len(scores) == len(classes) <= 20, 'too many'
    assert np.isfinite(last).all(), 'a detection that is no box'
    agreement.agreement_of((last, scores, classes), (others, np.ones(20), np.zeros(20)))


def any_truth(rng):
    """Objects with boxes of every kind, as polygons or as maps of bool."""
    count = int(rng.integers(0, 5))
    masks = [rng.random((HEIGHT, WIDTH)) < 0.5 if rng.integers(2) else
             [rng.uniform(-10, 110, (int(rng.integers(3, 7)), 2)).astype('float32')] for _ in range(count)]
    return Truth(any_boxes(rng, count), rng.integers(0, CLASSES, count).astype('int32'), masks)


def learning(rng):
    """What is to be learned from has finite values wherever it counts."""
    truths = [any_truth(rng), any_truth(rng)]
    anchors = any_boxes(rng, 100)
    anchors = anchors[boxes.are_whole(anchors)]
    for truth in truths:
        places, labels, counted, wanted = drawn_anchors(anchors, truth, 32, 0.5, rng)
        assert len(places) == len(labels) == len(counted) == len(wanted) == 32, 'another number'
    kept = [drawn[boxes.are_whole(drawn)] for drawn in (any_boxes(rng, 40), any_boxes(rng, 40))]
    regions = joined([drawn_regions(each, truth, image, CLASSES, 24, 0.25, 0.5, rng)
                      for image, (each, truth) in enumerate(zip(kept, truths))])
    if not len(regions):
        return
    regions = relabelled(any_boxes(rng, len(regions)), regions.images, truths, CLASSES, 0.6)
    assert len(regions), 'nothing is left'
    known = regions[regions.classes < CLASSES]
    if len(known):
        assert mask_targets(known, truths, 28).shape == (len(known), 28, 28), 'another shape'


@functools.cache
def detector():
    net = get_model('mask_rcnn_fpn_resnest50', base='resnest14', stem_width=8, channels=16, box_convolutions=1,
                    classes=CLASSES, detections=10)
    net.initialize(mx.init.Xavier())
    return net


def network(rng):
    """Regions of every kind through pooling and heads, by mxnet's operator and the native one."""
    net, count = detector(), int(rng.integers(1, 40))
    use_native(net, bool(rng.integers(2)))
    levels = [mx.nd.array(rng.normal(size=(2, net.spec.channels, HEIGHT // stride, WIDTH // stride)))
              for stride in (4, 8, 16, 32)]
    regions = [any_boxes(rng, count), any_boxes(rng, int(rng.integers(0, 5)))]
    refined, scores = net.refine(levels, regions, [(HEIGHT, WIDTH), (32, 32)])
    assert all(np.isfinite(each).all() for each in scores), 'a score that is no number'
    made = [suppression.detect(*each, (HEIGHT, WIDTH), 0.05, 0.5, net.spec.detections) for each in zip(refined, scores)]
    made[1] = any_boxes(rng, 3), np.ones(3), np.zeros(3, int)
    masks = net.masks(levels, made)
    assert np.isfinite(masks).all(), 'a mask that is no number'


def found(rng):
    """Masks and pictures of detections of every kind."""
    count = int(rng.integers(0, 30))
    height, width = (int(side) for side in rng.choice([1, 7, HEIGHT, 300], 2))
    detections = Detections(any_boxes(rng, count), any_scores(rng, count), rng.integers(0, 2 * CLASSES, count),
                            (height, width), any_scores(rng, count, 28, 28))
    assert detections.masks.shape == (count, height, width), 'another shape'
    for box in detections.boxes:
        top, left, mask = pasting.piece(detections.probabilities[0], box, height, width)
        assert 0 <= top <= top + len(mask) <= height or not mask.size, 'rows outside of the picture'
        assert 0 <= left <= left + mask.shape[1] <= width or not mask.size, 'columns outside of the picture'
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    drawn = draw(pixels, detections, ['one', 'two\nlines', 'x' * 200], masks=bool(rng.integers(2)))
    assert min(drawn.size) > 0, 'no picture'
