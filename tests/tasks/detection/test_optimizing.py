"""Optimized detectors find what the networks that they are made of find."""
import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.tasks.detection import get_model
from resnest.gluon.tasks.detection.geometry.agreement import agreement_of
from resnest.gluon.tasks.detection.optimizing import optimize_detector

from .drawn import drawn_net, normalized, picture

NAME = 'panoptic_cascade_rcnn_fpn_resnest200_3x'
SMALL = dict(base='resnest14', classes=4, kinds=5, proposals=40, detections=12, box_convolutions=1, box_dense=0,
             stem_width=8, ious=(0.5, 0.6), deformable_stages=(4,))


@pytest.fixture(scope='module')
def net():
    return drawn_net(NAME, **SMALL)


@pytest.fixture(scope='module')
def batches(net):
    return [normalized(net, picture(which)[:, :height, :96]) for which, height in (('A', 60), ('B', 96))]


@pytest.fixture(scope='module')
def made(net, batches):
    return optimize_detector(net, batches)


def test_float32_gives_the_same(net, made, batches):
    for x in batches:
        for found, wanted in zip(made(x), net(x)):
            np.testing.assert_allclose(found.asnumpy(), wanted.asnumpy(), atol=5e-3)
    assert made.report['detections'] == 24
    assert made.report['detections_agreement'] == 1
    assert made.report['score_difference'] < 1e-3
    assert '100.0% of 24' in made.describe()
    both = made(mx.nd.concat(batches[1], batches[1][:, :, :, ::-1], dim=0), [(96, 96), (90, 80)])
    assert both[2].shape == (2, 12, 4)
    assert both[2][1].max() <= 90


def test_nothing_to_compare(made, monkeypatch):
    """It was told as 100.0% of 0."""
    monkeypatch.setitem(made.report, 'detections', 0)
    assert made.describe().splitlines()[-1] == \
        'the same detections: not known, for there is none in the images to compare with'


@pytest.mark.parametrize(('precision', 'most'), [('bfloat16', 0.03), ('int8', 0.15)])
def test_lower_precisions_are_near(net, batches, precision, most):
    """Weights that are drawn find thin boxes everywhere, which the least difference turns: parts are compared."""
    made = optimize_detector(net, batches[1:], precision, agreement=0)
    assert precision in repr(made)
    assert made.report['detections'] == 12
    assert made.report['score_difference'] < 0.3
    for report in (made.report['trunk'], *made.report['box_heads'], made.report['mask_head']):
        assert 0 < np.max(report['largest_difference']) < most
    levels, logits, deltas, kinds = made.see(batches[1])
    assert [each.shape for each in logits] == [(1, 3 * level.shape[2] * level.shape[3]) for level in levels]
    assert [each.shape for each in deltas] == [(*each.shape, 4) for each in logits]
    assert kinds.shape == (1, 5, 96, 96)


def test_the_convention_of_gluoncv():
    net = drawn_net('faster_rcnn_fpn_syncbn_resnest50_coco', base='resnest14', proposals=20, detections=9,
                    box_convolutions=1, box_dense=0, stem_width=8)
    x = normalized(net, picture('A')[:, :61, :91])
    assert optimize_detector(net, [x]).report['detections_agreement'] == 1


def test_refusals(net, made):
    with pytest.raises(InputError, match='has no file'):
        made.save_parameters('x.params')
    with pytest.raises(InputError, match='not yet'):
        optimize_detector(made)
    with pytest.raises(InputError, match='int8 needs'):
        optimize_detector(net, precision='int8')
    with pytest.raises(InputError, match='at least 17 x 17'):
        made(mx.nd.zeros((1, 3, 16, 40)))
    with pytest.raises(InputError, match='has not been initialized'):
        optimize_detector(get_model(NAME, **SMALL))
    for name in ('fpn.output3.conv.weight', 'mask_head.logits.weight'):
        param = structural_parameters(net)[name]
        kept = param.data().copy()
        param.set_data(kept * np.nan)
        with pytest.raises(InputError, match='not finite'):
            optimize_detector(net)
        param.set_data(kept)


def test_agreement():
    boxes = np.float32([[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]])
    wanted = boxes, np.float32([0.5, 0.9, 0.8]), np.array([0, 1, 1])
    moved = boxes[::-1] + np.float32([[0, 6, 0, 6], [0, 1, 0, 1], [0, 0, 0, 0]])
    assert agreement_of(wanted, (moved, np.float32([0.8, 0.7, 0.5]), np.array([1, 1, 0]))) == \
        (3, 2, pytest.approx(0.2))
    assert agreement_of(wanted, (moved[1:], np.float32([0.7, 0.5]), np.array([0, 0]))) == (3, 1, 0)
    assert agreement_of(wanted, (boxes[:0], wanted[1][:0], wanted[2][:0])) == (3, 0, 0)
    assert agreement_of((boxes[:0], wanted[1][:0], wanted[2][:0]), wanted) == (0, 0, 0)
