"""Annotations in COCO's format, what is refused of them, and their run lengths against pycocotools'."""
import json

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from resnest.errors import InputError
from resnest.gluon.data.coco.annotations import read_annotations
from resnest.gluon.data.coco.long_json import read_lists
from resnest.gluon.data.coco.run_lengths import compressed, counts_in, counts_of, mask_of

from . import little_coco


def test_run_lengths_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for number in range(200):
        height, width = rng.integers(1, 90, 2)
        mask = rng.random((height, width)) < rng.choice([0, 0.02, 0.5, 1])
        encoded = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))['counts'].decode()
        counts = little_coco.runs(mask)['counts'] if number < 20 else counts_of(encoded)
        assert compressed(counts) == encoded == compressed(counts_in(mask))
        assert (mask_of(counts_of(encoded), height, width) == mask).all()
        assert counts_of(encoded).tolist() == list(counts) == counts_of(list(counts)).tolist()


@pytest.mark.parametrize('counts', [None, 5, '', 'é', '\x00', 'oo', 'p', 'o' * 40, [1.5], [[1], [2, 3]], [-1, 4], ['1'],
                                    [2 ** 70], [2 ** 62, 2 ** 62], [True], {}, {'a': 1}], ids=repr)
def test_damaged_run_lengths_are_refused(counts):
    with pytest.raises(InputError):
        mask_of(counts_of(counts), 4, 4)


def changed(**changes):
    """The first annotation with other values."""
    found = little_coco.instances()
    found['annotations'][0].update(changes)
    return found


REFUSED = [
    (changed(bbox=[8, 5, -2, 15]), 'annotation 12: its box .* has a negative width'),
    (changed(bbox=[8, 5, 60, 15]), 'annotation 12: its box .* lies outside of its picture.* 40 x 60'),
    (changed(bbox=[-30, 5, 20, 15]), 'annotation 12: its box .* lies outside'),
    (changed(bbox=[8, 5, 22]), 'annotation 12: bbox must be four numbers'),
    (changed(bbox=[8, 5, 22, '1']), 'annotation 12: bbox must be four numbers'),
    (changed(bbox=[8, 5, 22, 10 ** 400]), 'annotation 12: a number that is too large'),
    (changed(category_id=4), 'annotation 12: its category, 4, is not listed'),
    (changed(image_id=99), 'annotation 12: its image, 99, is not listed'),
    (changed(image_id='1'), 'annotation 12: image_id must be a whole number'),
    (changed(segmentation={'size': [60, 41], 'counts': [2460]}), 'annotation 12: run lengths of another size'),
    (changed(segmentation={'size': [60, 40], 'counts': [7]}), 'annotation 12: segmentation: run lengths of 7 pixels'),
    (changed(segmentation={'size': [60, 40], 'counts': 'p'}), 'annotation 12: segmentation: run lengths that cannot'),
    (changed(segmentation=[['a'] * 6]), 'annotation 12: segmentation: polygons must be'),
    (changed(segmentation='hello'), "annotation 12: segmentation: must be polygons or run lengths, got 'hello'"),
    (changed(segmentation=5), 'annotation 12: segmentation: must be polygons or run lengths, got 5'),
    (changed(iscrowd='no'), "annotation 12: iscrowd must be 0 or 1, got 'no'"),
    (changed(area='x'), "annotation 12: area must be a number of at least 0, got 'x'"),
    (changed(id=13), 'annotation 13 stands there twice'),
    (changed(area=-1), 'annotation 12: area must be a number of at least 0, got -1'),
    ({**little_coco.instances(), 'images': []}, 'empty data set'),
    ({**little_coco.instances(), 'categories': []}, 'lists no categories'),
    ({**little_coco.instances(), 'categories': [{'id': 3}]}, 'category 3 has no name'),
    ({**little_coco.instances(), 'categories': 2 * little_coco.CATEGORIES}, 'category 7 stands there twice'),
    ({**little_coco.instances(), 'images': 2 * little_coco.instances()['images']}, 'image 1 stands there twice'),
    ({'images': []}, "no list 'categories'"),
    ([], 'not JSON as expected'),
]


@pytest.mark.parametrize(('found', 'message'), REFUSED, ids=[message for _, message in REFUSED])
def test_what_does_not_fit_is_refused_in_a_line(tmp_path, found, message):
    path = little_coco.write(tmp_path)
    path.write_text(json.dumps(found))
    with pytest.raises(InputError, match=message) as refused:
        read_annotations(path)
    assert str(path) in str(refused.value)
    assert '\n' not in str(refused.value)


def test_long_json_is_what_json_is(tmp_path):
    path, found = tmp_path / 'a.json', {'x': [], 'y': []}
    take = {name: items.append for name, items in found.items()}
    path.write_text(' {"a": {"x": [1]}, "x" : [1, {"x": 2}, [3]\n] ,"y":[ ], "b": null} ')
    assert read_lists(path, take) == {'x', 'y'}
    assert found == {'x': [1, {'x': 2}, [3]], 'y': []}
    for text in ('', '{', '[]', '{}x', '{"x": 1}', '{"x": [1,]}', '{"x": [1}', '{"x": [1 2]}', '{"x": [],}', '{1: 2}',
                 '{"x": [], "x": []}', '{"x": [NaN]}', '{"x" []}', '{"x": [1', '{"x": ' + '[' * 100000):
        path.write_text(text)
        with pytest.raises(InputError, match='a.json: not JSON') as refused:
            read_lists(path, take)
        assert '\n' not in str(refused.value)
