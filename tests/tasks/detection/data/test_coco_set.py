"""Pictures and their annotations in COCO's layout against pycocotools, and what is refused."""
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from resnest.errors import InputError
from resnest.gluon.data.images.decoding import BadImage
from resnest.gluon.tasks.detection.data import CocoSet, open_coco
from resnest.gluon.tasks.detection.data.categories import Categories

from ....data.coco import little_coco


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


def test_a_set_without_annotations(tmp_path):
    little_coco.write(tmp_path, {**little_coco.instances(), 'annotations': []})
    with pytest.raises(InputError, match='no annotations'):
        open_coco('val', tmp_path)


def test_boxes_alone_teach_no_masks(tmp_path):
    found = little_coco.instances()
    for each in found['annotations']:
        del each['segmentation']
    little_coco.write(tmp_path, found)
    assert len(open_coco('val', tmp_path).read(0)[1]) == 2
    with pytest.raises(InputError, match='boxes alone, no masks'):
        open_coco('val', tmp_path, masks=True)
