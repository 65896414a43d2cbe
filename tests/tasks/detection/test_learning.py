"""The losses of a batch, their gradients and running statistics are those of the published code."""
import json
from unittest import mock

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from resnest.gluon.mxnet_private import forget_trace, norm_settings, structural_parameters
from resnest.gluon.tasks.detection import get_model
from resnest.gluon.tasks.detection.learning.forward import Learner, Sampling, loss_names
from resnest.gluon.tasks.detection.learning.targets import drawn_anchors, drawn_regions
from resnest.gluon.tasks.detection.truth import Truth
from resnest.gluon.tasks.detection.weights.detectron2_files import detectron2_names
from resnest.gluon.training.methods.finetuning import freeze
from tests.conftest import ROOT

from .drawn import (
    CLASSES,
    OBJECTS,
    PICTURES,
    bitmasks,
    drawn_net,
    expected,
    kinds_of_pixels,
    normalized,
    picture,
    train_boxes,
)

WANTED = json.loads((ROOT / 'tests' / 'expected' / 'detection_training.json').read_text())
SIZES = [PICTURES[which][:2] for which in 'AB']
ALL = 1 << 14       # anchors: more than those with a label
THEIRS = {'rpn_class': 'loss_rpn_cls', 'rpn_box': 'loss_rpn_loc', 'class': 'loss_cls', 'box': 'loss_box_reg',
          'mask': 'loss_mask', 'kinds': 'loss_sem_seg'}


def outlines(which):
    """The objects of :func:`.drawn.bitmasks` as polygons: corners, or 48 points of an ellipse."""
    found, angles = [], 2 * np.pi * np.arange(48) / 48
    for place, (left, top, right, bottom) in enumerate(OBJECTS[which].astype(float)):
        round_one = np.stack([(left + right) / 2 + (right - left) / 2 * np.cos(angles),
                              (top + bottom) / 2 + (bottom - top) / 2 * np.sin(angles)], 1)
        found.append([round_one if place % 2 else
                      np.array([[left, top], [right, top], [right, bottom], [left, bottom]])])
    return found


def truths(polygons=False):
    return [Truth(OBJECTS[which], CLASSES[which].astype('int32'),
                  outlines(which) if polygons else list(bitmasks(which, *size)),
                  kinds_of_pixels(which, *size).astype('uint8')) for which, size in zip('AB', SIZES)]


def made(name):
    """A detector and the batch of both pictures."""
    row, changes = (name, {}) if not name.startswith('panoptic') else \
        ('panoptic_cascade_rcnn_fpn_resnest200_3x', {'base': 'resnest50'})
    net = drawn_net(row, proposals=100, **changes)
    freeze(net.backbone, ['stem', 'layer1'])
    x = mx.nd.zeros((2, 3, 160, 224))
    for place, (which, (height, width)) in enumerate(zip('AB', SIZES)):
        x[place, :, :height, :width] = normalized(net, picture(which))[0]
    return net, x


@pytest.fixture(scope='module')
def plain():
    return made('faster_rcnn_fpn_resnest50')


def statistics(net, running):
    """Have the batch norms that are not frozen use their running statistics in training, or the batch's."""
    def settle(block):
        if isinstance(block, nn.BatchNorm) and block.gamma.grad_req != 'null':
            norm_settings(block)['use_global_stats'] = running
    net.apply(settle)
    forget_trace(net)


def losses(learner, x, polygons=False, backward=False):
    """The losses by Detectron2's names; with ``backward`` all parameters have gradients of their sum."""
    with mx.autograd.record() if backward else mx.autograd.train_mode():
        found = learner(x, SIZES, truths(polygons))
        total = mx.nd.add_n(*found)
    if backward:
        total.backward()
    named = {}
    for name, value in zip(loss_names(learner.detector.spec), found):
        what, stage = (name[:-2], f'_stage{int(name[-1]) - 1}') if name[-1].isdigit() else (name, '')
        named[THEIRS[what] + stage] = value.asscalar()
    return named


def norm_of(values):
    """The norm as it was computed there: in float32, by the eight lanes of a register, one value after another. Of 12
    million values it is 0.1 % less than in float64."""
    squares = np.pad(values ** 2, (0, -len(values) % 8)).reshape(-1, 8)
    return np.sqrt(np.cumsum(squares, axis=0, dtype='float32')[-1].sum())


def check_all(net, x, wanted):
    learner = Learner(net, Sampling(anchors=ALL, proposals=100), kinds_weight=0.5)
    learner.hybridize(static_alloc=True)
    statistics(net, running=True)
    assert losses(learner, x, backward=True) == pytest.approx(wanted['bn_eval'], rel=1e-4)
    params = structural_parameters(net)
    # Boxes that a cascade refined differ in the last bits: a layer's norm is off by 0.11 %, no value by 0.01 % of it.
    within = 1.5e-3 if len(net.box_heads) > 1 else 1e-3
    for ours, theirs in detectron2_names(net).items():
        if theirs in wanted['gradients']:
            norm, total, *first = wanted['gradients'][theirs]
            found = params[ours].grad().asnumpy().ravel()
            assert norm_of(found) == pytest.approx(norm, rel=within), theirs
            assert np.abs(found).sum(dtype=float) == pytest.approx(total, rel=1e-3), theirs
            np.testing.assert_allclose(found[:6], first, rtol=0, atol=1e-4 * norm)
    for name, value in losses(Learner(net, Sampling(proposals=100)), x).items():
        assert 'rpn' not in name or value == pytest.approx(wanted['rpn256'][name], rel=1e-4)
    given = [(train_boxes(which), None) for which in 'AB']
    with mock.patch.object(net, 'propose', return_value=given):
        found = losses(learner, x)
    assert {name: found[name] for name in wanted['given']} == pytest.approx(wanted['given'], rel=1e-4)
    for name, value in wanted.get('bn_eval_polygon', {}).items():
        assert losses(learner, x, polygons=True)[name] == pytest.approx(value, rel=1e-4)


def check_batch_statistics(net, x, wanted):
    statistics(net, running=False)
    learner = Learner(net, Sampling(anchors=ALL, proposals=100), kinds_weight=0.5)
    # On a CPU it is the backward pass that writes the running statistics.
    assert losses(learner, x, backward=True) == pytest.approx(wanted['bn_batch'], rel=1e-3)
    params = structural_parameters(net)
    values = {theirs: params[ours].data().asnumpy() for ours, theirs in detectron2_names(net).items()}
    for name, (mean, var) in wanted['running'].items():
        np.testing.assert_allclose(values[f'{name}.running_mean'][:8], mean, atol=2e-3)
        # Theirs divide by one value less, which is of weight for the two of the attention.
        if not name.endswith('bn1'):
            np.testing.assert_allclose(values[f'{name}.running_var'][:8], var, rtol=0.01)


def test_faster_rcnn(plain):
    check_all(*plain, WANTED['faster_rcnn_fpn_resnest50'])


def test_statistics_of_the_batch(plain):
    check_batch_statistics(*plain, WANTED['faster_rcnn_fpn_resnest50'])


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted(WANTED.keys() - {'faster_rcnn_fpn_resnest50'}))
def test_other_detectors(name):
    net, x = made(name)
    check_all(net, x, WANTED[name])
    check_batch_statistics(net, x, WANTED[name])


def test_labels_and_regions_are_those(plain):
    net, x = plain
    anchors = np.concatenate(net.anchors(net.levels(x)))
    stored = expected('faster_rcnn_fpn_resnest50')
    for place, (which, truth) in enumerate(zip('AB', truths())):
        _, labels, counted, _ = drawn_anchors(anchors, truth, ALL, 1.0)
        negative, ignored, positive = WANTED['faster_rcnn_fpn_resnest50'][f'anchor_labels_{which}']
        assert (labels.sum(), counted.sum()) == (positive, positive + negative)
        assert len(anchors) == positive + negative + ignored
        regions = drawn_regions(train_boxes(which), truth, place, 80, 512, 0.25, 0.5)
        np.testing.assert_allclose(regions.boxes, stored[f'train/given/sampled_boxes_{which}'], atol=1e-4)
        assert (regions.classes == stored[f'train/given/sampled_classes_{which}']).all()
        assert (regions.images == place).all()


@pytest.mark.parametrize('name', ['mask_rcnn_fpn_resnest50', 'mask_cascade_rcnn_fpn_resnest50'])
def test_pictures_without_a_region(name):
    """All proposals are objects, of which a quarter of three may be drawn: none; and nothing is proposed at all."""
    net = get_model(name, base='resnest14', classes=2, channels=16, box_units=8, box_convolutions=1,
                    mask_convolutions=1)
    net.initialize()
    box, learner = np.array([[0, 0, 60, 60]], 'float32'), Learner(net, Sampling(regions=3))
    for proposed, truth in ((box, Truth(box, np.zeros(1, 'int32'), [np.ones((64, 64), bool)])),
                            (box[:0], Truth(box[:0], np.zeros(0, 'int32'), []))):
        with mock.patch.object(net, 'propose', return_value=[(proposed, None)]), mx.autograd.record():
            total = mx.nd.add_n(*learner(mx.nd.ones((1, 3, 64, 64)), [(64, 64)], [truth]))
        total.backward()
        assert np.isfinite(total.asscalar())
        assert all(np.isfinite(param.grad().asnumpy()).all() for param in structural_parameters(net).values()
                   if param.grad_req != 'null')
