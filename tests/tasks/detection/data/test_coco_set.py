"""Annotations in COCO's format against pycocotools', and what is refused."""
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from resnest.errors import InputError
from resnest.gluon.data.coco.long_json import read_lists
from resnest.gluon.data.coco.run_lengths import compressed, counts_in, counts_of, mask_of
from resnest.gluon.data.images.decoding import BadImage
from resnest.gluon.tasks.detection.data import CocoSet, open_coco
from resnest.gluon.tasks.detection.data.categories import Categories

from . import little_coco


def test_truth_is_what_pycocotools_reads(tmp_path, caplog):
    path = little_coco.write(tmp_path)
    records, coco = open_coco('val', tmp_path, masks=True), COCO(str(path))
    assert 'left out 1 polygons of fewer than three points' in caplog.text
    assert (len(records), records.names, records.category_ids) == (4, ['dog', 'cat', 'kite'], [3, 7, 90])
    assert records.groups.tolist() == [0, 1, 1, 0]
    for index, number in enumerate((1, 2, 3, 4)):
        picture, truth = records.read(index)
        assert (picture == np.asarray(Image.open(records.where(index)))).all()
        wanted = [each for each in coco.loadAnns(coco.getAnnIds(number)) if not each['iscrowd'] and each['bbox'][2] > 0]
        assert truth.boxes.dtype == np.float32
        assert truth.boxes.tolist() == [[x, y, x + w, y + h] for x, y, w, h in (each['bbox'] for each in wanted)]
        assert [records.category_ids[label] for label in truth.classes] == [each['category_id'] for each in wanted]
        for mask, each in zip(truth.masks, wanted):
            if isinstance(mask, list):
                assert [polygon.ravel().tolist() for polygon in mask] == [
                    values for values in each['segmentation'] if len(values) >= 6]
            else:
                assert (mask == coco.annToMask(each)).all()


def test_training_leaves_out_pictures_without_objects(tmp_path):
    little_coco.write(tmp_path, split='train', year='')
    records = open_coco('train', tmp_path, training=True)
    assert [records.name(index) for index in range(len(records))] == ['0001.png', '0002.png', '0003.png']
    assert records.read(2)[1].masks is None
    assert len(records.read(2)[1]) == 1


def test_panoptic_maps_become_kinds(tmp_path):
    maps = little_coco.write_panoptic(little_coco.write(tmp_path))
    records = open_coco('val', tmp_path, kinds=True)
    assert records.panoptic.kind_names == ['things', 'banner', 'tree']
    assert records.categories == Categories(['dog', 'cat', 'kite'], [3, 7, 90], ['banner', 'tree'], [92, 184])
    for index, number in enumerate((1, 2, 3, 4)):
        wanted = np.full(maps[number].shape, 255)
        for segment, kind in ((70000 + number, 0), (5, 2), (300, 1)):
            wanted[maps[number] == segment] = kind
        kinds = records.read(index)[1].kinds
        assert kinds.dtype == np.uint8
        assert (kinds == wanted).all()


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
    ({**little_coco.instances(), 'annotations': []}, 'no annotations'),
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
        open_coco('val', tmp_path, masks=True)
    assert str(path) in str(refused.value)
    assert '\n' not in str(refused.value)


def test_missing_and_damaged_pictures_are_named(tmp_path):
    path = little_coco.write(tmp_path)
    records = CocoSet(path, tmp_path / 'val2017')
    (tmp_path / 'val2017/0003.png').write_bytes(b'no picture')
    Image.new('RGB', (9, 9)).save(tmp_path / 'val2017/0001.png')
    with pytest.raises(BadImage, match='0003.png'):
        records.read(2)
    with pytest.raises(InputError, match=r'0001.png: 9 x 9 pixels, but .*tells 60 x 40'):
        records.read(0)
    for name in ('0002.png', '0003.png'):
        (tmp_path / 'val2017' / name).unlink()
    with pytest.raises(InputError, match='0002.png: a picture of .*missing, and so are 1 more'):
        CocoSet(path, tmp_path / 'val2017')
    with pytest.raises(InputError, match='instances_train2017.json beside'):
        open_coco('train', tmp_path)


def test_a_picture_turned_by_exif_lies_as_its_annotations_do(tmp_path):
    path = little_coco.write(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(1).integers(0, 256, (60, 40, 3), dtype=np.uint8)
    for name, stored in (('0001.png', pixels), ('0002.png', pixels)):       # 60 x 40 and 40 x 60 by the annotations
        Image.fromarray(stored).save(tmp_path / 'val2017' / name, exif=exif)
    records = CocoSet(path, tmp_path / 'val2017')
    assert (records.pixels(0) == np.rot90(pixels, -1)).all()
    assert (records.pixels(1) == pixels).all()


def test_boxes_alone_teach_no_masks(tmp_path):
    found = little_coco.instances()
    for each in found['annotations']:
        del each['segmentation']
    little_coco.write(tmp_path, found)
    assert len(open_coco('val', tmp_path).read(0)[1]) == 2
    with pytest.raises(InputError, match='boxes alone, no masks'):
        open_coco('val', tmp_path, masks=True)


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
