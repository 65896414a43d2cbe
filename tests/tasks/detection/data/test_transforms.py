"""Truth moves with its picture: boxes, polygons, masks and kinds against the pixels themselves."""
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_masks

from resnest.errors import InputError
from resnest.gluon.data import training_batches
from resnest.gluon.tasks.detection.data import CocoLoader, Training, Unchanged, open_coco
from resnest.gluon.tasks.detection.data.transforms import cropped, mirrored, resized
from resnest.gluon.tasks.detection.truth import Truth

from ....data.coco import little_coco

POLYGON = np.array([[20, 10], [70, 30], [40, 60]], np.float32)


def drawn(polygon, height, width):
    return coco_masks.decode(coco_masks.frPyObjects([polygon.ravel().tolist()], height, width))[..., 0] > 0


def scene():
    """A red triangle on black, as a polygon and as a mask, and as kind 3."""
    mask = drawn(POLYGON, 80, 100)
    picture = mask[..., None] * np.array([255, 0, 0], np.uint8)
    boxes = np.array([[20, 10, 70, 60]] * 2, np.float32)
    return picture, Truth(boxes, np.array([1, 2], np.int32), [[POLYGON], mask], mask.astype(np.uint8) * 3)


def around(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize('change', [
    lambda *both: resized(*both, 160, 150), mirrored, lambda *both: cropped(*both, 12, 30, 40, 60),
    lambda *both: Training([60], between=False, flip=1, crop=0.6)(*both, np.random.default_rng(1)),
], ids=['resized', 'mirrored', 'cropped', 'all'])
def test_everything_lies_where_the_pixels_are(change):
    picture, truth = change(*scene())
    seen = picture[..., 0] > 127
    assert len(truth) == 2
    for box in truth.boxes:
        np.testing.assert_allclose(box, around(seen), atol=2)
    for mask in (drawn(truth.masks[0][0], *seen.shape), truth.masks[1], truth.kinds == 3):
        assert mask.shape == seen.shape
        assert (mask & seen).sum() / (mask | seen).sum() > 0.95
    assert truth.masks[1].dtype == bool
    assert truth.boxes.dtype == np.float32


def test_sides_are_those_of_detectron2():
    picture, truth = np.zeros((480, 640, 3), np.uint8), Truth(np.zeros((0, 4), np.float32), np.zeros(0, np.int32))
    found = {Training([640, 672, 800], flip=0)(picture, truth, np.random.default_rng(seed))[0].shape
             for seed in range(40)}
    assert found == {(640, 853, 3), (672, 896, 3), (800, 1067, 3)}
    assert Training([800], 1000, flip=0)(picture, truth, np.random.default_rng(0))[0].shape == (750, 1000, 3)
    between = {len(Training([10, 12], between=True)(picture, truth, np.random.default_rng(seed))[0])
               for seed in range(40)}
    assert between == {10, 11, 12}
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    assert (resized(noise, truth, 240, 333)[0] == np.asarray(Image.fromarray(noise).resize((333, 240), 2))).all()


def test_a_crop_drops_what_is_outside_and_recuts_boxes():
    picture, truth = scene()
    assert len(cropped(picture, truth, 61, 0, 19, 100)[1]) == 0
    part = cropped(picture, truth, 0, 0, 80, 45)[1]
    np.testing.assert_allclose(part.boxes[0], [20, 10, 45, 60])
    assert part.masks[0][0][:, 0].max() == 45


@pytest.mark.parametrize('wrong', [{'short_sides': []}, {'short_sides': [0]}, {'long_side': 10 ** 6}, {'flip': 2},
                                   {'crop': 0}, {'crop': 1.5}], ids=str)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(InputError):
        Training(**wrong)


def test_loading_depends_on_seed_and_epoch_alone(tmp_path):
    little_coco.write(tmp_path)
    records, transform = open_coco('val', tmp_path, masks=True), Training([20, 30, 40], crop=0.7)

    def load(workers, **which):
        return [(picture, truth) for batch in CocoLoader(records, transform, [[2, 0], [1, 3]], workers, **which)
                for picture, truth in zip(*batch)]

    one = load(0, seed=1, epoch=2)
    for workers in (2, (2, 'process')):
        assert all((a[0].shape == b[0].shape and (a[0] == b[0]).all() and (a[1].boxes == b[1].boxes).all())
                   for a, b in zip(one, load(workers, seed=1, epoch=2)))
    assert any(a[0].shape != b[0].shape or (a[0] != b[0]).any() for a, b in zip(one, load(0, seed=1, epoch=3)))
    (tmp_path / 'val2017/0001.png').write_bytes(b'')
    with pytest.raises(InputError, match='0001.png.*--skip-bad'):
        list(CocoLoader(records, Unchanged(), [[0]], 0))
    loader = CocoLoader(records, Unchanged(), [[0]], 0, skip_bad=True)
    (pictures, truths), = loader
    assert pictures[0].shape == (60, 40, 3)
    assert len(truths[0]) == 1
    assert len(loader.skipped) == 1


def test_batches_of_one_orientation_are_dealt_alike_to_any_number_of_ranks():
    groups = (np.random.default_rng(0).random(1000) < 0.3).astype(np.uint8)
    one = training_batches(1000, 16, seed=5, epoch=2, groups=groups)
    two = [training_batches(1000, 8, rank, 2, 5, 2, groups=groups) for rank in range(2)]
    assert (np.concatenate(two, 1) == one).all()
    whole = training_batches(1000, 1, seed=5, epoch=2, groups=groups).ravel()
    assert sorted(whole) == list(range(1000))
    assert (whole[:one.size] == one.ravel()).all()
    mixed = sum(len(set(groups[batch])) > 1 for batch in one)
    assert mixed <= 1, 'one border between two groups'
    assert (training_batches(1000, 16, seed=5, epoch=3, groups=groups) != one).any()
