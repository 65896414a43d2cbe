"""faster_rcnn_fpn_resnest50 gives what the published code gives with the same weights and pictures."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.tasks.detection.geometry.boxes import areas, rescale
from resnest.gluon.tasks.detection.parts.pyramid import STRIDES

from .drawn import BOXES, draw, drawn_net, expected, match, normalized, picture

WANTED = expected('faster_rcnn_fpn_resnest50')


@pytest.fixture(scope='module')
def net():
    net = drawn_net('faster_rcnn_fpn_resnest50', proposals=100)
    net.hybridize()
    return net


@pytest.fixture(scope='module', params='AB')
def seen(net, request):
    """A picture's name, input, pyramid, and logits and differences by level."""
    x = normalized(net, picture(request.param))
    levels = net.levels(x)
    return request.param, x, levels, [*map(list, net.outputs(levels))]


def thinned(levels, kind, which):
    """A level as it is stored: every so many channels and positions."""
    steps = {2: 4, 3: 2}
    return levels.asnumpy()[0, ::32, ::steps.get(kind, 1), ::steps.get(kind, 1)] - WANTED[f'{which}/p{kind}']


def test_the_weights_are_those():
    shapes = {'conv2.conv.weight': (256, 64, 3, 3), 'fpn_lateral3.weight': (256, 512, 1, 1), 'cls_score.bias': (81,),
              'anchor_deltas.weight': (12, 256, 1, 1), 'deconv.weight': (256, 256, 2, 2)}
    for name in (name for name in WANTED if name.startswith('draw/')):
        shape = next((shape for ending, shape in shapes.items() if name.endswith(ending)), (256,))
        np.testing.assert_allclose(draw(name[5:], shape).ravel()[:4], WANTED[name], rtol=1e-6)


def test_features(seen):
    which, _, levels, _ = seen
    for kind, level in enumerate(levels, 2):
        assert np.abs(thinned(level, kind, which)).max() < 2e-4


def test_outputs_of_the_proposal_network(seen):
    which, _, levels, (logits, deltas) = seen
    for kind in (3, 5):
        height, width = levels[kind - 2].shape[2:]
        for found, name in ((logits, 'objectness'), (deltas, 'deltas')):
            found = found[kind - 2].asnumpy().reshape(height, width, -1).transpose(2, 0, 1)[:, ::2, ::2]
            np.testing.assert_allclose(found, WANTED[f'{which}/rpn_{name}_p{kind}'], atol=1e-3)


def test_proposals(net, seen):
    which, x, levels, outputs = seen
    [(boxes, logits)] = net.propose(*outputs, levels, [x.shape[2:]])
    wanted = WANTED[f'{which}/proposal_boxes'], WANTED[f'{which}/proposal_logits']
    assert len(boxes) == 100
    assert match([*(part[:45] for part in wanted), np.zeros(45)], [boxes, logits, np.zeros(100)], scores=1e-3) >= 0.96


def test_head_of_regions_inside_and_outside(net, seen):
    which, _, levels, _ = seen
    if which == 'A':
        pooled = net.box_pooling(levels, BOXES, np.zeros(len(BOXES)))
        np.testing.assert_allclose(pooled.asnumpy()[:, ::64, ::3, ::3], WANTED['A/box_pool'], atol=2e-4)
        logits, deltas = net.box_heads[0](pooled)
        np.testing.assert_allclose(logits.asnumpy(), WANTED['A/box_logits'], atol=1e-3)
        np.testing.assert_allclose(deltas.asnumpy()[:, :64], WANTED['A/box_deltas'], atol=1e-3)


def detections(outputs, image=0):
    ids, scores, boxes = (output.asnumpy()[image] for output in outputs)
    found = ids[:, 0] >= 0
    return boxes[found], scores[found, 0], ids[found, 0]


def wanted_detections(which, boxes='det_boxes'):
    return [WANTED[f'{which}/{name}'][:45] for name in (boxes, 'det_scores', 'det_classes')]


def test_detections(net, seen):
    which, x, _, _ = seen
    found = detections(net(x))
    assert len(found[0]) == WANTED[f'{which}/det_count']
    assert match(wanted_detections(which), found) >= 0.96
    if which == 'A':
        other = rescale(found[0], (160, 224), (240, 300))
        assert all(np.abs(other - box).max(1).min() < 0.01 for box in WANTED['A/det_boxes_240x300'])


def test_an_image_that_is_padded_keeps_to_its_own_size(net):
    """150 × 201 pixels, by itself and with zeros around, beside another image; then in the size of another picture."""
    x = normalized(net, picture('A')[:, :150, :201])
    alone = detections(net(x))
    assert match(wanted_detections('C', 'det_boxes_300x402'),
                 [rescale(alone[0], (150, 201), (300, 402)), *alone[1:]], boxes=0.02) >= 0.96
    assert (areas(alone[0]) > 0).all()
    batch = mx.nd.zeros((2, 3, 160, 224))
    batch[0, :, :128, :128] = normalized(net, picture('B'))[0]
    batch[1, :, :150, :201] = x[0]
    together = detections(net(batch, [(128, 128), (150, 201)]), 1)
    assert match([part[:45] for part in alone], together) == 1


def test_anchors(net):
    levels = [mx.nd.zeros((1, 1, -(-160 // stride), -(-224 // stride))) for stride in STRIDES]
    found = net.anchors(levels)
    assert [len(each) for each in found] == list(WANTED['anchors/counts'])
    np.testing.assert_allclose(found[0][:6], WANTED['anchors/p2_first6'], atol=1e-4)
    np.testing.assert_allclose(found[4][:6], WANTED['anchors/p6_first6'], atol=1e-4)
