"""Pictures of detections: what is where in them, labels apart from each other, and boxes of every kind."""
import numpy as np
import pytest
from PIL import ImageDraw

from resnest.gluon.tasks.detection import Detections
from resnest.gluon.tasks.detection.drawing import colours_for, draw, draw_segments, mosaic
from resnest.gluon.tasks.detection.geometry.placing import Places

GREY = np.full((400, 640, 3), 100, np.uint8)
NAMES = ['cat', 'a dog', '数\n' * 40]


def found(boxes, size=(400, 640), probabilities=None):
    count = len(boxes)
    return Detections(np.float32(boxes).reshape(-1, 4), np.linspace(0.9, 0.5, count, dtype='float32'),
                      np.arange(count, dtype='int32') % 4, size, probabilities)


def test_a_box_and_its_mask_are_where_they_belong():
    mask = np.zeros((1, 28, 28), 'float32')
    mask[0, :, :14] = 1
    image = np.asarray(draw(GREY, found([[100, 200, 300, 320]], probabilities=mask), NAMES)).astype(int)
    colour = np.array(colours_for(1)[0])
    assert image.shape == GREY.shape
    assert (image[200, 150:290] == colour).all()            # the upper edge, under the label, which stands above
    assert (image[230:300, 100] == colour).all()
    mixed = image[260, 150] - 100
    np.testing.assert_allclose(mixed / (colour - 100), 0.45, atol=0.03)
    assert (image[210:310, 215:290] == 100).all()           # the mask's other half
    assert (image[330:] == 100).all()
    assert (image[180:198, 104] != 100).any()               # the label
    plain = np.asarray(draw(GREY, found([[100, 200, 300, 320]], probabilities=mask), NAMES, masks=False))
    assert (plain[260, 150] == 100).all()


def test_a_small_picture_is_enlarged_with_its_boxes():
    image = np.asarray(draw(GREY[:40, :64], found([[10, 20, 30, 32]], (40, 64)), NAMES))
    assert image.shape == (400, 640, 3)
    assert (image[230:300, 100] == colours_for(1)[0]).all()
    assert draw(np.zeros((3000, 100, 3), np.uint8), found([], (3000, 100)), NAMES).size == (100, 3000)


def test_labels_keep_apart(monkeypatch):
    plates = []
    monkeypatch.setattr(ImageDraw.ImageDraw, 'rectangle', lambda self, box, fill=None, **rest:
                        plates.append(box) if fill else None)
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 500, (25, 2)) * [1, 0.6]
    boxes = np.concatenate([corners, corners + rng.uniform(40, 120, (25, 2))], 1)
    draw(GREY, found(np.concatenate([boxes, [boxes[0], boxes[0], [-50, -50, 20, 30], [600, 380, 700, 500]]])), NAMES)
    plates = np.array(plates)
    assert len(plates) == 29
    assert (plates[:, :2] >= 0).all()
    assert (plates[plates[:, 2] - plates[:, 0] < 300, 2:] < [640, 400]).all()
    low, high = (function(plates[:, None, corner], plates[None, :, corner]) for function, corner in
                 ((np.maximum, slice(0, 2)), (np.minimum, slice(2, 4))))
    common = np.clip(high - low, 0, None).prod(-1)
    np.fill_diagonal(common, 0)
    assert (common > 0).sum() / 2 <= 3


@pytest.mark.parametrize('side', [1, 30, 700])
def test_boxes_of_every_kind(side):
    rng = np.random.default_rng(side)
    boxes = rng.normal(0, side, (150, 4)).astype('float32')
    odd = rng.choice(np.float32([np.nan, np.inf, -np.inf, 1e30, -1e30, 0, side]), (150, 4))
    boxes = np.where(rng.uniform(size=(150, 4)) < 0.4, odd, boxes)
    pixels = rng.integers(0, 255, (side, side + 1, 3), dtype=np.uint8)
    probabilities = rng.uniform(size=(150, 28, 28)).astype('float32')
    image = draw(pixels, found(boxes, (side, side + 1), probabilities), NAMES)
    assert max(image.size) == max(640, side + 1)
    assert (np.asarray(draw(pixels, found(boxes[:0], (side, side + 1)), NAMES)).std() > 0)


def test_colours_are_apart():
    colours = np.array(colours_for(30), int)
    assert len({*map(tuple, colours)}) == 30
    near = np.abs(colours[:, None] - colours).max(-1) + 999 * np.eye(30)
    assert all(near[row, max(0, row - 4):row].min(initial=999) > 60 for row in range(30))


def test_segments():
    ids = np.zeros((400, 640), 'int32')
    ids[100:300, 100:300], ids[300:] = 1, 7
    segments = [{'id': 1, 'category_id': 3, 'isthing': 1, 'area': 40000},
                {'id': 7, 'category_id': 99, 'isthing': 0, 'area': 64000}]
    image = np.asarray(draw_segments(GREY, ids, segments, {3: 'cat', 99: 'sky'}))
    assert (image[20, 20] == 100).all()
    assert (image[150, 150] == image[290, 290]).all()
    assert (image[150, 150] != image[390, 20]).any()
    assert (np.asarray(draw_segments(GREY, ids * 0, [], {})) == 100).all()
    again = np.asarray(draw_segments(GREY, ids * (ids == 7), segments[1:], {}))
    assert (again[390, 20] == image[390, 20]).all()


def test_mosaic_and_places():
    images = [draw(np.zeros((*size, 3), np.uint8), found([], size), NAMES)
              for size in ((2000, 900), (30, 40), (5, 900))]
    whole = mosaic(images)
    assert whole.size == (2 * 800 + 8, 2 * 800 + 8)
    assert mosaic(images[1:2]).size == (640, 480)
    places = Places((50, 10))
    assert places._choose(0, 0, 9, 9, 300, 40, False) == (0, 0)
