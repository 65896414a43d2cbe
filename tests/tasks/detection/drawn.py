"""The weights and pictures behind the expected values of detectors: drawn from names and shapes, in NumPy alone."""
import zlib

import mxnet as mx
import numpy as np

from resnest.gluon.mxnet_private import load_value, structural_parameters
from resnest.gluon.tasks.detection import get_model
from resnest.gluon.tasks.detection.weights.detectron2_files import detectron2_names, from_detectron2
from tests.conftest import ROOT

__all__ = ['BOXES', 'CLASSES', 'OBJECTS', 'bitmasks', 'draw', 'drawn_net', 'expected', 'kinds_of_pixels', 'match',
           'normalized', 'picture', 'train_boxes']

LAST = ('objectness_logits', 'anchor_deltas', 'cls_score', 'bbox_pred', 'mask_head.predictor', 'sem_seg_head.predictor')
# A layer's gain is that of the first text that its name contains.
GAINS = {'stem.conv1.': 0.035, 'conv2_offset.': 0.8, 'objectness_logits.': 1.5, 'anchor_deltas.': 0.25,
         'cls_score.': 3.0, 'bbox_pred.': 1.8, 'mask_head.predictor.': 1.0, 'sem_seg_head.predictor.': 2.0,
         'fpn_lateral': 0.6, 'box_head.': 2.4, 'mask_head.mask_fcn': 2.4, 'bottom_up.': 2.0, '': 1.6 ** 0.5}
# height, width, seed
PICTURES = {'A': (160, 224, 11), 'B': (128, 128, 12)}
# Regions of picture A; the last four reach outside of it.
BOXES = np.array([
    [10, 12, 60, 52], [0, 0, 224, 160], [100.5, 20.25, 180.75, 90.5], [150, 100, 223, 159], [30, 60, 40, 90],
    [5, 100, 120, 158], [60, 5, 75, 15], [80, 40, 200, 150], [12.3, 45.6, 78.9, 101.2], [200, 2, 222, 40],
    [45, 30, 170, 140], [110, 110, 118, 117], [0, 0, 112, 112], [0, 0, 113, 113], [20, 10, 210, 155],
    [64, 64, 128, 128], [-40, -30, 250, 200], [-150, -180, 420, 380], [-10, -10, 214, 214], [-300, 10, 500, 300],
], 'float32')
OBJECTS = {'A': np.array([[12, 20, 76, 110], [90, 8, 150, 60], [100, 70, 210, 150], [160, 10, 216, 62],
                          [30, 112, 92, 154]], 'float32'),
           'B': np.array([[8, 10, 60, 70], [40, 50, 120, 124], [70, 6, 122, 44]], 'float32')}
CLASSES = {'A': np.array([0, 17, 56, 3, 41]), 'B': np.array([2, 17, 60])}


def draw(name, shape):
    """The array of Detectron2's name and shape."""
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    owner, leaf = name.rsplit('.', 1)
    if leaf == 'running_var':
        value = generator.uniform(0.6, 1.6, shape)
    elif leaf == 'weight' and len(shape) == 1:
        value = generator.uniform(*((0.1, 0.3) if owner.endswith('conv3.norm') else (0.5, 1.2)), shape)
    elif len(shape) == 1:
        value = generator.standard_normal(shape) * (0.3 if leaf == 'bias' and owner.endswith(LAST) else 0.1)
    else:
        value = generator.standard_normal(shape)
        inward = (0, 2, 3) if name.endswith('deconv.weight') else tuple(range(1, len(shape)))
        fan_in = shape[0] if name.endswith('deconv.weight') else np.prod(shape[1:])
        value -= value.mean(inward, keepdims=True)
        value *= next(gain for text, gain in GAINS.items() if text in name) / np.sqrt(fan_in)
    return value.astype('float32')


def drawn_net(name, **kwargs):
    """The detector of a name with the drawn values."""
    net = get_model(name, **kwargs)
    params = structural_parameters(net)
    theirs = {their: draw(their, params[ours].shape) for ours, their in detectron2_names(net).items()}
    for ours, value in from_detectron2(theirs, net).items():
        load_value(params[ours], mx.nd.array(value), None)
    return net


def picture(which):
    """Noise that is smooth on four scales, RGB, ``(3, H, W)`` from 0 to 255."""
    *size, seed = PICTURES[which]
    generator = np.random.RandomState(seed)
    total = np.zeros((3, *size))
    for side, weight in ((1, 0.15), (5, 0.5), (15, 0.8), (41, 1.0)):
        noise = _blurred(_blurred(generator.standard_normal((3, *size)), side), side)
        noise = noise - noise.mean()
        total += weight * noise / noise.std()
    total = (total - total.mean()) / total.std()
    return np.round(np.clip(118 + 62 * total, 0, 255)).astype('float32')


def normalized(net, pixels):
    """Pixels ``(3, H, W)`` as ``net`` takes them, ``(1, 3, H, W)``."""
    mean, std = (np.array(each).reshape(3, 1, 1) for each in (net.spec.mean, net.spec.std))
    return mx.nd.array(((pixels / 255 - mean) / std)[None])


def train_boxes(which):
    """Proposals: the first regions, and each object moved and stretched in four ways, clipped to the picture."""
    height, width, _ = PICTURES[which]
    low, high = OBJECTS[which][:, :2].astype(float), OBJECTS[which][:, 2:].astype(float)
    made = [BOXES[:12]]
    for *shift, wider, higher in ((.03, -.02, 1.02, .97), (-.08, .06, .9, 1.1), (.12, .1, 1.2, 1.05),
                                  (-.15, -.12, .8, 1.3)):
        centre, half = (low + high) / 2 + (high - low) * shift, (high - low) * (wider, higher) / 2
        made.append(np.concatenate([centre - half, centre + half], 1))
    boxes = np.clip(np.concatenate(made).astype('float32'), 0, np.array([width, height] * 2, 'float32'))
    return boxes[(boxes[:, 2:] - boxes[:, :2] > 2).all(1)]


def bitmasks(which, height, width):
    """The objects' masks: the box itself, of every other object the ellipse inside it."""
    y, x = np.mgrid[:height, :width] + 0.5
    centre, half = ((OBJECTS[which][:, 2:] + sign * OBJECTS[which][:, :2])[:, :, None, None] / 2 for sign in (1, -1))
    dx, dy = np.abs(x - centre[:, 0]) / half[:, 0], np.abs(y - centre[:, 1]) / half[:, 1]
    round_ones = (np.arange(len(centre)) % 2 == 1)[:, None, None]
    return np.where(round_ones, dx ** 2 + dy ** 2 <= 1, np.maximum(dx, dy) < 1)


def kinds_of_pixels(which, height, width):
    """0 on the objects, 1 to 53 in blocks around them, and 255, to be ignored, in the first three columns."""
    y, x = np.mgrid[:height, :width]
    kinds = 1 + (x // 32 + 7 * (y // 40)) % 53
    kinds[bitmasks(which, height, width).any(0)] = 0
    kinds[:, :3] = 255
    return kinds


def expected(name):
    with np.load(ROOT / 'tests' / 'expected' / f'{name}.npz') as arrays:
        return dict(arrays)


def match(wanted, found, boxes=0.01, scores=1e-4):
    """The share of the wanted (boxes, scores, classes) that have a partner of their own among those found, in any
    order."""
    free, hits = np.ones(len(found[0]), bool), 0
    for box, score, kind in zip(*wanted):
        near = (free & (np.abs(found[0] - box).max(1) <= boxes) & (np.abs(found[1] - score) <= scores)
                & (found[2] == kind))
        free[np.flatnonzero(near)[:1]] = False
        hits += near.any()
    return hits / len(wanted[0])


def _blurred(array, side):
    """The mean of ``side`` neighbours along both last axes, the edge repeated."""
    for axis in (-2, -1):
        around = [(0, 0)] * array.ndim
        around[axis] = side // 2, side - 1 - side // 2
        sums = np.cumsum(np.pad(array, around, mode='edge'), axis)
        sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis)
        count = array.shape[axis]
        array = (sums.take(range(side, side + count), axis) - sums.take(range(count), axis)) / side
    return array
