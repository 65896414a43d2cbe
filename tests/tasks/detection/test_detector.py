"""The detector with masks, a cascade and kinds of pixels: shapes, batches, hybridizing, and weights that are broken."""
import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.tasks.detection import get_model

from .drawn import drawn_net, normalized, picture

NAME = 'panoptic_cascade_rcnn_fpn_resnest200_3x'
SMALL = dict(base='resnest14', classes=4, kinds=5, proposals=40, detections=12, box_convolutions=1, box_dense=0)


@pytest.fixture(scope='module')
def net():
    return drawn_net(NAME, **SMALL)


@pytest.fixture(scope='module')
def x(net):
    return normalized(net, picture('A')[:, :100, :130])


@pytest.fixture(scope='module')
def outputs(net, x):
    return [output.asnumpy() for output in net(x)]


def test_shapes_and_ranges(outputs):
    ids, scores, boxes, masks, kinds = outputs
    assert [each.shape for each in outputs] == [(1, 12, 1), (1, 12, 1), (1, 12, 4), (1, 12, 28, 28), (1, 5, 100, 130)]
    assert {each.dtype.name for each in outputs} == {'float32'}
    assert set(ids.ravel()) <= {0, 1, 2, 3}
    assert (np.diff(scores[0, :, 0]) <= 0).all()
    assert (scores > 0.05).all()
    assert (boxes >= 0).all()
    assert (boxes <= [130, 100, 130, 100]).all()
    assert (masks >= 0).all()
    assert (masks <= 1).all()
    assert np.std(masks) > 0.05


def test_each_image_of_a_batch_has_its_own(net, x, outputs):
    both = [output.asnumpy() for output in net(mx.nd.concat(x[:, :, :, ::-1], x, dim=0))]
    for one, two in zip(outputs, both):
        np.testing.assert_allclose(two[1], one[0], atol=2e-3)
    assert np.abs(both[2][0] - both[2][1]).max() > 1


def test_a_cascade_by_a_loop(net, x):
    """The score of a cascade is the mean of its heads' on their boxes; boxes are the last head's."""
    levels = net.levels(x)
    proposals = [boxes for boxes, _ in net.propose(*net.outputs(levels), levels, [(100, 130)])]
    [boxes], [scores] = net.refine(levels, proposals, [(100, 130)])
    current, total = proposals[0], 0
    for place, head in enumerate(net.box_heads, 1):
        logits, deltas = (each.asnumpy() for each in head(net.box_pooling(levels, current, np.zeros(len(current)))))
        total = total + np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        sides = current[:, 2:] - current[:, :2]
        centre = (current[:, :2] + current[:, 2:]) / 2 + deltas[:, :2] / (10 * place) * sides
        sides = sides * np.exp(deltas[:, 2:] / (5 * place))
        decoded = np.concatenate([centre - sides / 2, centre + sides / 2], 1)
        current = np.clip(decoded, 0, [130, 100, 130, 100])
    np.testing.assert_allclose(boxes[:, 0], decoded, atol=1e-2)
    np.testing.assert_allclose(scores, total[:, :-1] / 3, atol=1e-4)


def test_each_mask_is_that_of_its_detection(net, x):
    """Of its image, its box and its class: each by itself, by a pooled region and the mask head."""
    both = mx.nd.concat(x[:, :, :, ::-1], x, dim=0)
    ids, _, boxes, masks, _ = (output.asnumpy() for output in net(both))
    levels = net.levels(both)
    for image, row in ((0, 0), (1, 2), (1, 0), (0, 7)):
        logits = net.mask_head(net.mask_pooling(levels, boxes[image, row:row + 1], np.array([image]))).asnumpy()
        wanted = 1 / (1 + np.exp(-logits[0, int(ids[image, row, 0])]))
        np.testing.assert_allclose(masks[image, row], wanted, atol=1e-4)
    assert len(set(ids.ravel())) > 1


def test_hybridized(net, x, outputs):
    net.hybridize()
    for found, wanted in zip(net(x), outputs):
        np.testing.assert_allclose(found.asnumpy(), wanted, atol=2e-3)
    net.hybridize(False)


def test_sizes_must_fit(net, x):
    for sizes in ([(100, 131)], [(0, 5)], [(10, 10), (10, 10)]):
        with pytest.raises(InputError, match='sizes must be 1 heights and widths up to 100 x 130 px'):
            net(x, sizes)


@pytest.mark.parametrize('name', [NAME, 'faster_rcnn_fpn_resnet50'])
def test_what_is_no_batch_of_images(name):
    net = get_model(name, **SMALL) if name == NAME else get_model(name)
    for images, message in ((np.zeros((1, 3, 64, 64)), 'as an NDArray'),
                            (mx.nd.zeros((1, 4, 64, 64)), r'\(N, 3, H, W\)'),
                            (mx.nd.zeros((1, 3, 16, 64)), 'at least 17 x 17'),
                            (mx.nd.zeros((1, 3, 64, 64), dtype='uint8'), 'does not take images of uint8')):
        with pytest.raises(InputError, match=message):
            net(images)


@pytest.mark.parametrize('part', ['rpn.logits.bias', 'rpn.deltas.weight', 'box_heads.0.deltas.bias',
                                  'box_heads.2.logits.bias', 'fpn.output3.norm.gamma', 'mask_head.logits.bias'])
@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_broken_weights_give_no_broken_boxes(net, x, part, value):
    param = structural_parameters(net)[part]
    kept = param.data().copy()
    param.set_data(kept + value)
    try:
        ids, scores, boxes, *_ = (output.asnumpy() for output in net(x))
    finally:
        param.set_data(kept)
    assert np.isfinite(boxes).all()
    assert np.isfinite(scores).all()
    assert ((ids == -1) == (scores == -1)).all()


def test_nothing_found_is_minus_one():
    net = get_model(NAME, **SMALL, least_score=1.0)
    net.initialize()
    ids, scores, boxes, masks, _ = net(mx.nd.zeros((2, 3, 40, 50)))
    for output in (ids, scores, boxes, masks):
        assert (output.asnumpy() == -1).all()


def test_one_line():
    assert repr(get_model('faster_rcnn_fpn_resnet50', classes=3)) == 'Detector(faster_rcnn_fpn_resnet50, classes=3)'
