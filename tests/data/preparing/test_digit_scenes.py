"""Scenes of digits: what is drawn and what is told of it agree, by pycocotools and by plain loops."""
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from sklearn.datasets import load_digits

from resnest.gluon.data.preparing.digit_scenes import draw_scene, run_lengths
from resnest.gluon.tasks.segmentation.data import MapLoader, Whole, open_maps

from ...conftest import assert_refused, script_here, script_main

SCRIPT = 'dataset/prepare_digit_scenes.py'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    target = tmp_path_factory.mktemp('scenes') / 'made'
    done = script_here(SCRIPT, '--target-dir', target, '--train', 3, '--val', 2, '--seed', 5)
    assert done.returncode == 0, done.stderr
    return target


def test_annotations_are_those_of_the_pictures(scenes):
    coco = COCO(scenes / 'annotations/instances_val.json')
    assert len(coco.imgs) == 2
    assert [category['name'] for category in coco.loadCats(coco.getCatIds())] == [str(digit) for digit in range(10)]
    for number, image in coco.imgs.items():
        picture = np.asarray(Image.open(scenes / 'val' / image['file_name']))
        assert picture.shape == (image['height'], image['width'], 3)
        classes = np.asarray(Image.open(scenes / 'maps/val' / image['file_name']))
        found = np.zeros_like(classes)
        annotations = coco.loadAnns(coco.getAnnIds(number))
        assert len(annotations) >= 2
        for annotation in annotations:
            mask = coco.annToMask(annotation).astype(bool)
            rows, columns = np.nonzero(mask)
            assert annotation['bbox'] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert annotation['area'] == mask.sum()
            assert not found[mask].any()        # each pixel shows one digit
            found[mask] = annotation['category_id']
        assert np.array_equal(found, classes)


def test_keypoints_are_the_ends_of_the_strokes(scenes):
    keypoints = json.loads((scenes / 'annotations/person_keypoints_train.json').read_text())
    instances = json.loads((scenes / 'annotations/instances_train.json').read_text())
    coco = COCO(scenes / 'annotations/instances_train.json')
    assert keypoints['categories'][0]['keypoints'] == ['top', 'right', 'bottom', 'left']
    for points, plain in zip(keypoints['annotations'], instances['annotations']):
        assert (points['id'], points['bbox']) == (plain['id'], plain['bbox'])
        mask = coco.annToMask(plain)
        (_, top, _), (right, _, _), (_, bottom, _), (left, _, _) = np.reshape(points['keypoints'], (4, 3)).tolist()
        x, y, width, height = plain['bbox']
        assert left <= x
        assert top <= y
        assert right >= x + width - 1
        assert bottom >= y + height - 1
        for x, y, visibility in np.reshape(points['keypoints'], (4, 3)).tolist():
            assert visibility == (2 if mask[y, x] else 1)


def test_a_scene_without_overlap_has_its_ends_at_its_box():
    digit = np.zeros((8, 8))
    digit[1:7, 3:5] = 16
    scene = draw_scene(digit[None], np.array([1]), np.random.default_rng(0))
    for number in range(len(scene.labels)):
        if (scene.keypoints[number, :, 2] == 2).all():
            rows, columns = np.nonzero(scene.mask(number))
            (_, top, _), (right, _, _), (_, bottom, _), (left, _, _) = scene.keypoints[number].tolist()
            assert (left, top, right, bottom) == (columns.min(), rows.min(), columns.max(), rows.max())
    assert (scene.keypoints[..., 2] == 2).any()


def test_sigmas_are_the_spread_of_what_is_as_far_out(scenes):
    """Of the digits that nothing hides, by their masks: each pixel of the outermost rows and columns, from the end."""
    digits, rng, found = load_digits(), np.random.default_rng(0), []
    for scene in (draw_scene(digits.images, digits.target, rng) for _ in range(30)):
        for number, ends in enumerate(scene.keypoints[..., :2]):
            rows, columns = np.nonzero(scene.mask(number))
            sides = rows == rows.min(), columns == columns.max(), rows == rows.max(), columns == columns.min()
            apart = [(columns[side] - x) ** 2 + (rows[side] - y) ** 2 for side, (x, y) in zip(sides, ends)]
            if all((each == 0).any() for each in apart):
                found.append([each.mean() / len(rows) for each in apart])
    sigmas = json.loads((scenes / 'annotations/person_keypoints_val.json').read_text())['categories'][0]['sigmas']
    assert sigmas == pytest.approx(np.sqrt(np.mean(found, 0)).tolist(), rel=0.25)


def test_each_digit_has_its_own_picture(scenes):
    """In the folder of its class: a square that has the whole box and is cut out of the scene."""
    coco = COCO(scenes / 'annotations/instances_train.json')
    found = sorted((scenes / 'digits/train').rglob('*.png'), key=lambda path: path.name)
    for path, annotation in zip(found, coco.loadAnns(sorted(coco.anns))):
        assert path.name.startswith(f"{annotation['image_id']:06d}-")
        assert int(path.parent.name) == annotation['category_id'] - 1
        x, y, width, height = annotation['bbox']
        own, scene = (np.asarray(Image.open(each)) for each in (path, scenes / 'train' / f'{path.name[:6]}.png'))
        assert own.shape == (own.shape[0], own.shape[0], 3)
        assert max(width, height) <= len(own) <= 1.15 * max(width, height)
        assert any(np.array_equal(own, scene[top:top + len(own), left:left + len(own)])
                   for top in range(y + height - len(own), y + 1) for left in range(x + width - len(own), x + 1))
    assert len(found) == len(coco.anns)


def test_they_are_a_data_set_of_segmentation(scenes):
    train, val = open_maps(scenes)
    assert (len(train), len(val)) == (3, 2)
    assert train.legend.names == ['ground', *'0123456789']
    for images, labels in MapLoader(train, Whole(), [[0], [1], [2]]):
        assert images.shape == (*labels.shape, 3)
        assert {*np.unique(labels)} <= {*range(11)}


def test_the_seed_decides_all_of_it(scenes, tmp_path):
    def digest(folder):
        return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(folder.rglob('*')) if path.is_file()}

    script_main(SCRIPT)(['--target-dir', str(tmp_path / 'same'), '--train', '3', '--val', '2', '--seed', '5'])
    script_main(SCRIPT)(['--target-dir', str(tmp_path / 'other'), '--train', '3', '--val', '2', '--seed', '6'])
    first, same, other = map(digest, (scenes, tmp_path / 'same', tmp_path / 'other'))
    assert len([path for path in first if path.parts[0] != 'digits']) == 2 * (3 + 2) + 5
    assert first == same
    assert first.pop(Path('classes.txt')) == other.pop(Path('classes.txt'))
    assert not {*first.values()} & {*other.values()}


@pytest.mark.parametrize('mask', [np.zeros((3, 2)), np.ones((2, 3)), [[0, 1], [1, 1]], [[1, 0, 0], [0, 0, 1]]])
def test_run_lengths_are_those_of_pycocotools(mask):
    mask = np.array(mask, dtype=bool)
    lengths = run_lengths(mask)
    compressed = coco_masks.frPyObjects(lengths, *mask.shape)
    assert np.array_equal(coco_masks.decode(compressed), mask)
    assert compressed['counts'] == coco_masks.encode(np.asfortranarray(mask, dtype=np.uint8))['counts']
    assert sum(lengths['counts']) == mask.size


def test_folders_that_are_refused(scenes):
    assert_refused(script_here(SCRIPT, '--target-dir', scenes), 'made: is there already')
    assert_refused(script_here(SCRIPT, '--target-dir', '/proc/x'), '/proc/x: no files', 'give --target-dir another')
