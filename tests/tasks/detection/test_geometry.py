"""Boxes, matching, suppression, pasting and merging against slow loops."""
import numpy as np
import pytest

from resnest.gluon.streams import generator
from resnest.gluon.tasks.detection import Detections
from resnest.gluon.tasks.detection.geometry import boxes, matching, suppression
from resnest.gluon.tasks.detection.geometry.anchors import grid
from resnest.gluon.tasks.detection.geometry.panoptic import merge
from resnest.gluon.tasks.detection.geometry.pasting import paste
from resnest.gluon.tasks.detection.geometry.sizes import seen_size
from resnest.gluon.tasks.detection.geometry.suppression import detect, propose, suppress
from resnest.gluon.tasks.detection.learning.rasterizing import mask_targets
from resnest.gluon.tasks.detection.learning.targets import drawn_anchors, drawn_regions, relabelled
from resnest.gluon.tasks.detection.parts.pooling import level_of
from resnest.gluon.tasks.detection.scores.merging import merged, mirrored_back
from resnest.gluon.tasks.detection.truth import Truth

from .drawn import CLASSES, OBJECTS, expected, train_boxes

WANTED = expected('faster_rcnn_fpn_resnest50')


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_boxes(rng, count, side=60):
    corners = rng.uniform(0, side, (count, 2, 2))
    return np.concatenate([corners.min(1), corners.max(1)], 1).astype('float32')


def overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(width, 0) * max(height, 0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - common
    return common / union if common else 0


def test_overlaps(rng):
    ours, others = random_boxes(rng, 20), random_boxes(rng, 30)
    ours[3, 2] = ours[3, 0]     # an empty one
    wanted = [[overlap(one, other) for other in others] for one in ours]
    np.testing.assert_allclose(boxes.overlaps(ours, others), wanted, atol=1e-6)
    assert boxes.overlaps(ours[:0], others).shape == (0, 30)


def test_decoding_undoes_encoding(rng):
    ours, targets = random_boxes(rng, 50) + [0, 0, 1, 1], random_boxes(rng, 50) + [0, 0, 1, 1]
    weights = 10, 10, 5, 5
    np.testing.assert_allclose(boxes.decode(boxes.encode(ours, targets, weights), ours, weights)[:, 0], targets,
                               atol=1e-3)


def test_a_decoded_box():
    """Its centre moves by widths and heights, its sides grow by exponentials, to at most 62.5 times their length."""
    box = np.array([[10, 20, 30, 60]], 'float32')
    found = boxes.decode(np.array([[0.5, -0.25, np.log(2), 0, 0, 0, 9, -9]], 'float32'), box)[0]
    np.testing.assert_allclose(found[0], [10, 10, 50, 50], atol=1e-4)
    assert np.isclose(found[1, 2] - found[1, 0], 1250, rtol=1e-5)
    assert np.isclose(found[1, 3] - found[1, 1], 40 * np.exp(-9), rtol=1e-2)


def test_rescaled_boxes_stay_in_their_picture():
    found = boxes.rescale(np.array([[10, 20, 100, 50]], 'float32'), (50, 100), (100, 150))
    np.testing.assert_allclose(found, [[15, 40, 150, 100]])


def test_anchors_in_the_middle_of_cells():
    found = grid(2, 3, 8, 16, (1.0,), rounded=True)
    np.testing.assert_allclose((found[:, :2] + found[:, 2:]) / 2, [[x, y] for y in (3.5, 11.5)
                                                                   for x in (3.5, 11.5, 19.5)])
    np.testing.assert_allclose(found[:, 2:] - found[:, :2], 15)


@pytest.mark.parametrize('which', 'AB')
def test_labels_of_anchors(which):
    anchors = np.concatenate([grid(-(-160 // stride), -(-224 // stride), stride, 8 * stride)
                              for stride in (4, 8, 16, 32, 64)])
    _, labels = matching.match(anchors, OBJECTS[which], 0.3, 0.7, best_too=True)
    assert [(labels == kind).sum() for kind in (0, -1, 1)] == list(WANTED[f'train/anchor_labels_{which}'])


@pytest.mark.parametrize('which', 'AB')
def test_sampled_regions(which):
    candidates = np.concatenate([train_boxes(which), OBJECTS[which]])
    matched, labels = matching.match(candidates, OBJECTS[which], 0.5, 0.5)
    positive, negative = matching.sample(labels, 512, 0.25)
    np.testing.assert_array_equal(candidates[[*positive, *negative]], WANTED[f'train/given/sampled_boxes_{which}'])
    np.testing.assert_array_equal([*CLASSES[which][matched[positive]], *[80] * len(negative)],
                                  WANTED[f'train/given/sampled_classes_{which}'])


def test_the_best_box_of_each_object_is_positive():
    candidates = np.array([[0, 0, 10, 10], [0, 0, 10, 4], [50, 50, 60, 60]], 'float32')
    objects = np.array([[0, 0, 10, 10], [0, 0, 10, 2], [90, 90, 99, 99]], 'float32')
    matched, labels = matching.match(candidates, objects, 0.3, 0.7)
    assert (matched.tolist(), labels.tolist()) == ([0, 1, 0], [1, -1, 0])
    assert matching.match(candidates, objects[:2], 0.3, 0.7, best_too=True)[1].tolist() == [1, 1, 0]
    assert matching.match(candidates, objects[:0], 0.3, 0.7, best_too=True)[1].tolist() == [0, 0, 0]


def test_samples_are_drawn():
    labels = np.repeat([1, 0, -1], [50, 200, 50])
    positive, negative = matching.sample(labels, 64, 0.25, generator(0, 1))
    assert (len(positive), len(negative)) == (16, 48)
    assert len({*positive, *negative}) == 64
    assert (labels[positive] == 1).all()
    assert (labels[negative] == 0).all()
    assert positive.tolist() != list(range(16))
    positive, negative = matching.sample(labels[40:], 64, 0.25, generator(0, 1))
    assert (len(positive), len(negative)) == (10, 54)


def test_suppression(rng):
    candidates, scores, groups = random_boxes(rng, 200), rng.uniform(size=200), rng.integers(0, 3, 200)
    kept = []
    for index in np.argsort(-scores):
        if all(groups[index] != groups[other] or overlap(candidates[index], candidates[other]) <= 0.4
               for other in kept):
            kept.append(index)
    assert suppress(candidates, scores, 0.4, groups).tolist() == kept
    assert 3 < len(suppress(candidates, scores, 0.4)) < len(kept) < 200


def test_suppression_of_many_kinds(rng, monkeypatch):
    """Equal scores, boxes of one place, empty, huge and negative ones, a few pairs at a time too."""
    for case in range(300):
        count = int(rng.integers(40))
        corner, sides = rng.uniform(-5, 50, (count, 2)), rng.uniform(-2, 40, (count, 2)) * 10 ** rng.uniform(-3, 3)
        candidates = np.round(np.concatenate([corner, corner + sides], 1), 3 * (case % 2)).astype('float32')
        candidates[:case % 3] = 1e30
        scores, groups = np.round(rng.uniform(size=count), 2), rng.integers(0, 3, count)
        threshold = rng.choice([0, 0.3, 0.7, 1])
        monkeypatch.setattr(suppression, 'PAIRS', int(rng.choice([1, 7, 1 << 20])))
        order = np.argsort(-scores, kind='stable')
        near = (boxes.overlaps(candidates[order], candidates[order]) > threshold) & \
            (groups[order][:, None] == groups[order])
        kept = []
        for place in range(count):
            kept += [] if near[kept, place].any() else [place]
        assert suppress(candidates, scores, threshold, groups).tolist() == order[kept].tolist()


def test_detections_of_shared_and_of_own_boxes(rng):
    own, scores = random_boxes(rng, 60).reshape(20, 3, 4) - 5, rng.uniform(size=(20, 3))
    found, best, classes = detect(own, scores, (40, 50), 0.3, 0.5, 10)
    assert len(found) == len(best) == len(classes) == 10
    assert (np.diff(best) <= 0).all()
    clipped = np.clip(own, 0, [50, 40, 50, 40])
    assert all((clipped[:, kind] == box).all(1).any() for box, kind in zip(found, classes))
    shared = detect(own[:, :1], scores, (40, 50), 0.3, 0.5, 1000)
    repeated = detect(own[:, [0, 0, 0]], scores, (40, 50), 0.3, 0.5, 1000)
    for one, other in zip(shared, repeated):
        np.testing.assert_array_equal(one, other)


def test_levels_of_regions():
    sides = np.array([1, 111, 113, 223, 225, 447, 449, 5000], 'float32')
    regions = np.stack([0 * sides, 0 * sides, sides, sides], 1)
    assert level_of(regions).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def boxes_of_every_kind(rng):
    """A thousand: usual ones, empty, turned, far away, and with values that are not finite."""
    extremes = np.array([0, -0.0, 1, -1, 1e-30, 1e9, -1e9, 3e38, np.inf, -np.inf, np.nan], 'float32')
    return np.where(rng.uniform(size=(1000, 4)) < 0.4, rng.choice(extremes, (1000, 4)), random_boxes(rng, 1000))


def test_nothing_ends_in_an_error(rng):
    """A thousand boxes of every kind through all that is done with boxes: what comes out is whole."""
    wild = boxes_of_every_kind(rng)
    deltas, logits = rng.permutation(wild), rng.permutation(wild)[:, 0]
    found, scores = propose([logits], [deltas], [wild], (40, 50), 1000, 300, 0.7)
    assert boxes.are_whole(found).all()
    assert np.isfinite(scores).all()
    assert len(found) > 5
    with np.errstate(all='ignore'):
        decoded = boxes.decode(np.tile(deltas, 3), wild)
    for boxes_of in (decoded, decoded[:, :1]):
        found, scores, _ = detect(boxes_of, rng.permutation(wild)[:, :3], (40, 50), 0.05, 0.5, 100)
        assert np.isfinite(found).all()
        assert np.isfinite(scores).all()
        assert len(found) > 5
    level_of(wild)
    for box in wild[:200]:
        assert paste(np.ones((28, 28)), box, 6, 8).shape == (6, 8)
    versions = [Detections(part, scores, rng.integers(0, 3, len(part)), (40, 50))
                for part, scores in zip(np.split(wild, 2), rng.uniform(size=(2, 500)))]
    assert len(merged([versions[0], mirrored_back(versions[1], 50)], 0.5, 100).boxes) == 100
    masks = [paste(np.ones((28, 28)), box, 6, 8) for box in wild[:200]]
    labels = rng.integers(0, 3, (6, 8))
    segments, facts = merge(masks, rng.uniform(size=200), rng.integers(0, 3, 200), labels, least_area=1)
    assert [fact['area'] for fact in facts] == np.bincount(segments.ravel(), minlength=len(facts) + 1)[1:].tolist()


def test_no_target_ends_in_an_error(rng):
    """A thousand boxes of every kind as anchors and as what a stage of a cascade has refined; as objects what a
    file may hold: those that are finite, within their picture, with polygons near it, or maps, as masks."""
    wild, classes = boxes_of_every_kind(rng), 5
    known = boxes.clip(wild[np.isfinite(wild).all(1)][:40], 40, 50)
    masks = [[rng.uniform(-50, 100, (5, 2))] if place % 2 else rng.uniform(size=(40, 50)) < 0.5
             for place in range(len(known))]
    truth = Truth(known, rng.integers(0, classes, len(known)).astype('int32'), masks).whole()
    with np.errstate(all='ignore'):
        places, labels, counted, wanted = drawn_anchors(wild, truth, 256, 0.5)
    assert labels.any()
    assert counted.sum() == 256
    drawn = drawn_regions(random_boxes(rng, 300), truth, 0, classes, 128, 0.25, 0.5)
    refined = relabelled(wild, np.zeros(1000, int), [truth], classes, 0.5)
    for regions in (drawn, refined):
        assert boxes.are_whole(regions.boxes).all()
        objects = regions[regions.classes < classes]
        assert len(objects) > 5
        assert mask_targets(objects, [truth], 14).shape == (len(objects), 14, 14)


def test_pasting(rng):
    """Against bilinear interpolation pixel by pixel, for boxes inside, outside, tiny and large."""
    mask = rng.uniform(size=(28, 28))
    for box in ([3.2, 4.5, 20.1, 17.7], [-10, -5, 15, 40], [5, 5, 5.4, 6.1], [40, 3, 60, 20], [0, 0, 30, 25]):
        found = paste(mask, np.array(box, 'float32'), 25, 30)
        for y, x in np.ndindex(25, 30):
            u, v = (28 * (place + 0.5 - box[axis]) / (box[axis + 2] - box[axis]) - 0.5
                    for axis, place in enumerate((x, y)))
            total = 0
            for i, j in np.ndindex(2, 2):
                row, column = int(np.floor(v)) + i, int(np.floor(u)) + j
                if 0 <= row < 28 and 0 <= column < 28:
                    total += mask[row, column] * (1 - abs(v - row)) * (1 - abs(u - column))
            assert found[y, x] == (total >= 0.5) or abs(total - 0.5) < 1e-4
    assert not paste(mask, np.array([5, 5, 5, 9]), 25, 30).any()


@pytest.mark.parametrize('size, seen', [
    ((480, 640), (800, 1067)), ((427, 640), (800, 1199)), ((640, 426), (1202, 800)), ((333, 500), (800, 1201)),
    ((375, 500), (800, 1067)), ((612, 612), (800, 800)), ((240, 640), (500, 1333)), ((1024, 331), (1333, 431)),
    ((800, 1333), (800, 1333)), ((799, 1332), (800, 1333)), ((51, 59), (800, 925)), ((1, 9000), (1, 1333))])
def test_sizes_that_detectron2_resizes_to(size, seen):
    assert seen_size(*size, 800, 1333) == seen


def test_panoptic_segments():
    masks = np.zeros((4, 4, 6), bool)
    masks[0, :2, :3], masks[1, :2, :4], masks[2, 2:, :2], masks[3, 3:, 5:] = True, True, True, True
    labels = np.full((4, 6), 7)
    labels[:, 4:], labels[0, 5] = 0, 3
    segments, found = merge(masks, np.array([0.9, 0.8, 0.95, 0.4]), np.array([5, 6, 1, 2]), labels, least_area=2)
    # The second is mostly covered by the first; the last is too uncertain; of kind 3 there is too little.
    assert [(each['category'], each['is_thing'], each['area']) for each in found] == [(1, True, 4), (5, True, 6),
                                                                                      (7, False, 6)]
    assert [(segments == each['id']).sum() for each in found] == [4, 6, 6]
    assert (segments[:, 4:] == 0).all()


@pytest.mark.parametrize('options', [{'covered': 1.0}, {'least_area': 0}])
def test_panoptic_segments_are_never_empty(options):
    """An instance that is wholly behind another, and stuff that is wholly behind instances."""
    ids, found = merge([np.ones((4, 4), bool)] * 2, np.array([0.9, 0.8]), np.array([0, 1]), np.ones((4, 4), int),
                       **options)
    assert [(each['id'], each['category'], each['area']) for each in found] == [(1, 0, 16)]
    assert (ids == 1).all()
