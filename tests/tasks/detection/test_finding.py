"""From pictures to what is in them: sizes, batches, masks, segments, and what is no picture or no weights."""
import time
from unittest import mock

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.models import get_model as classifier
from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.tasks.detection import Detections, detect, get_model
from resnest.gluon.tasks.detection.data.categories import coco
from resnest.gluon.tasks.detection.finding import require_finite
from resnest.gluon.tasks.detection.geometry.boxes import rescale
from resnest.gluon.tasks.detection.geometry.pasting import paste
from resnest.gluon.tasks.detection.geometry.resampling import largest

from .drawn import drawn_net, expected, match, normalized, picture

PANOPTIC = 'panoptic_cascade_rcnn_fpn_resnest200_3x'
SMALL = dict(base='resnest14', classes=4, kinds=5, proposals=40, detections=12, box_convolutions=1, box_dense=0,
             short_side=100, long_side=130, stuff_area=50, confidence=0.2)
PIXELS = picture('A').transpose(1, 2, 0).astype('uint8')


@pytest.fixture(scope='module')
def net():
    return drawn_net(PANOPTIC, **SMALL)


def test_the_published_detections_at_the_size_of_another_picture():
    """Picture A as it is; then asked for in the size of a picture that was resized to it."""
    net = drawn_net('faster_rcnn_fpn_resnest50', proposals=100, short_side=160)
    found, = detect(net, PIXELS)
    wanted = expected('faster_rcnn_fpn_resnest50')
    assert len(found) == wanted['A/det_count']
    assert match([wanted[f'A/det_{key}'][:45] for key in ('boxes', 'scores', 'classes')],
                 [found.boxes, found.scores, found.classes]) >= 0.96
    assert (found.masks, found.panoptic, found.size) == (None, None, (160, 224))


def test_resizing_and_scaling_back(net):
    """Against the steps one by one: Pillow's resizing, the network, boxes and masks in the picture's own pixels."""
    pixels = np.asarray(Image.fromarray(PIXELS).resize((330, 200)))
    found, = detect(net, pixels)
    seen = np.asarray(Image.fromarray(pixels).resize((130, 79), Image.BILINEAR))
    ids, scores, boxes, masks, _ = (each.asnumpy()[0] for each in net(normalized(net, seen.transpose(2, 0, 1))))
    boxes = rescale(boxes, (79, 130), (200, 330))
    np.testing.assert_allclose(found.boxes, boxes, atol=2e-2)
    np.testing.assert_allclose(found.scores, scores[:, 0], atol=1e-4)
    assert found.classes.tolist() == ids[:, 0].tolist()
    assert found.masks.shape == (12, 200, 330)
    assert (found.masks[3] != paste(masks[3], boxes[3], 200, 330)).mean() < 1e-3
    top, left, part = found.mask_piece(3)
    assert part.sum() == found.masks[3].sum()
    assert (found.masks[3][top:top + part.shape[0], left:left + part.shape[1]] == part).all()


def test_what_a_picture_may_be(net, tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / 'a.png')
    wanted, = detect(net, PIXELS)
    for pictures in (tmp_path / 'a.png', [str(tmp_path / 'a.png')], Image.fromarray(PIXELS), tmp_path):
        found, = detect(net, pictures)
        np.testing.assert_array_equal(found.boxes, wanted.boxes)
    assert detect(net, []) == []
    with pytest.raises(InputError, match='no.png'):
        detect(net, [PIXELS, tmp_path / 'no.png'])


def test_batches_change_nothing(net):
    """Pictures of several shapes, some of which share a batch; the results are in the order of the pictures."""
    pictures = [PIXELS[:150, :200], PIXELS.transpose(1, 0, 2), PIXELS[:152, :203, ::-1], PIXELS[:, :100],
                PIXELS[:140, :190]]
    alone = [detect(net, each)[0] for each in pictures]
    together = detect(net, pictures, batch_size=3)
    for one, two in zip(alone, together):
        assert one.size == two.size
        assert match([one.boxes, one.scores, one.classes], [two.boxes, two.scores, two.classes], 0.05, 1e-3) == 1


def test_panoptic_segments(net):
    """As COCO's files have them: each pixel in one segment at most, with its box, and the categories' numbers."""
    found, = detect(net, PIXELS)
    ids, segments = found.panoptic
    assert (ids.shape, ids.dtype) == ((160, 224), np.int32)
    assert {each['isthing'] for each in segments} == {0, 1}
    for each in segments:
        rows, columns = np.nonzero(ids == each['id'])
        assert each['area'] == len(rows)
        assert each['bbox'] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert each['category_id'] in (range(1, 5) if each['isthing'] else range(5, 9))
        assert ('score' in each) == each['isthing']
    assert {*np.unique(ids)} - {0} == {each['id'] for each in segments}


@pytest.mark.parametrize('size', [(7, 9), (20, 31), (5, 4), (7, 30)])
def test_the_largest_map_at_another_size(size):
    maps = np.random.default_rng(0).normal(size=(4, 7, 9)).astype('float32')
    wanted = mx.nd.contrib.BilinearResize2D(mx.nd.array(maps[None]), height=size[0], width=size[1],
                                            align_corners=False).asnumpy()[0]
    np.testing.assert_array_equal(largest(maps, *size), wanted.argmax(0))


def test_names_and_numbers_of_coco():
    """The ends of both lists, their lengths, and the places of the gaps."""
    known = coco()
    assert (len(known.names), len(known.stuff)) == (80, 53)
    assert [known.names[place] for place in (0, 11, 79)] == ['person', 'stop sign', 'toothbrush']
    assert [known.ids[place] for place in (0, 10, 11, 79)] == [1, 11, 13, 90]
    assert (known.stuff[0], known.stuff_ids[0], known.stuff[-1], known.stuff_ids[-1]) == (
        'banner', 92, 'rug-merged', 200)
    assert known.ids == sorted(known.ids)
    assert known.stuff_ids == sorted(known.stuff_ids)


def test_nothing_found():
    net = get_model(PANOPTIC, **SMALL, least_score=1.0)
    net.initialize()
    found, = detect(net, np.zeros((40, 60, 3), 'uint8'))
    assert (len(found), found.boxes.shape, found.masks.shape) == (0, (0, 4), (0, 40, 60))
    assert found.panoptic[0].shape == (40, 60)
    assert len(found.above(0.5)) == 0


def test_some_of_them(net):
    found, = detect(net, PIXELS)
    best = found.above(float(found.scores[4]))
    assert isinstance(best, Detections)
    assert len(best) == len(best.masks) == 5
    np.testing.assert_array_equal(best.masks[2], found.mask(2))


@pytest.mark.parametrize('part', ['fpn.output3.norm.gamma', 'mask_head.logits.bias', 'backbone.conv1.0.weight'])
def test_weights_that_are_not_finite(net, part):
    param = structural_parameters(net)[part]
    kept = param.data().copy()
    param.set_data(kept * np.nan)
    try:
        with pytest.raises(InputError, match=f'{PANOPTIC}: {part} is not finite; these weights are of no use'):
            detect(net, PIXELS)
    finally:
        param.set_data(kept)


def test_a_network_without_values():
    with pytest.raises(InputError, match='has no values yet .*; give pretrained='):
        detect(get_model(PANOPTIC, **SMALL), PIXELS)


def test_looking_at_all_values_is_cheap():
    """In seconds of this process, beside a sum of them; mxnet's own operator takes far longer."""
    net = mx.gluon.nn.Dense(2048, in_units=4096)
    net.initialize()
    values = net.weight.data().asnumpy()

    def seconds(run):
        start = time.process_time()
        run()
        return time.process_time() - start

    assert min(seconds(lambda: require_finite(net)) for _ in range(3)) < \
        10 * min(seconds(lambda: np.square(values).sum(dtype='float64')) for _ in range(3))


@pytest.mark.parametrize('error', [MemoryError(), mx.MXNetError('x\nMXNetError: Failed to allocate CPU Memory')])
def test_too_large_a_side_is_one_line(net, monkeypatch, error):
    for side in (0, 1 << 15, 2.5):
        with pytest.raises(InputError, match='a side of pictures must be .* at least 1 and at most 16384'):
            detect(net, [np.zeros((8, 9, 3), 'uint8')], short_side=side)
    monkeypatch.setattr(net, 'refine', mock.Mock(side_effect=error))
    with pytest.raises(InputError, match='^not enough memory for 1 at a time of 64 x 96 pixels; resize .*at a time$'):
        detect(net, [np.zeros((50, 70, 3), 'uint8')], short_side=60)


@pytest.mark.parametrize('what', ['mask_rcnn', mx.gluon.nn.Dense(2), classifier('resnest14')])
def test_what_is_no_detector(what):
    with pytest.raises(InputError, match='net must be a detector, such as get_model'):
        detect(what, PIXELS)
