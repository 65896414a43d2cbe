"""Data sets in their layouts, read in place; what is missing or does not fit is one line that names it."""
import io

import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.tasks.segmentation.data import default_fraction, known_legend, open_maps

from . import little_sets
from .little_sets import write


def decoded(records):
    return [tuple(np.asarray(Image.open(io.BytesIO(data))) for data in pair) for pair in records]


def assert_pairs(records, wanted):
    assert len(records) == len(wanted)
    for found, pair in zip(decoded(records), wanted):
        for one, other in zip(found, pair):
            assert (one == other).all()


@pytest.mark.parametrize('name, inside', [('ade20k', ''), ('ade20k', 'ADEChallengeData2016'), ('cityscapes', ''),
                                          ('pascal_voc', ''), ('pascal_voc', 'VOCdevkit/VOC2012')])
def test_published_data_sets(name, inside, tmp_path):
    drawn = getattr(little_sets, name)(tmp_path / inside)
    sets = dict(zip(('train', 'val'), open_maps(tmp_path)))
    for split, records in sets.items():
        assert_pairs(records, drawn[split])
        assert records.legend.names == known_legend(name).names
        assert (records.decoding, records.note) == ('stored', None)
    assert default_fraction(tmp_path) is None
    with pytest.raises(InputError, match='have names'):
        open_maps(tmp_path, names=['a', 'b'])


@pytest.mark.parametrize('images, maps', [('images/{}/', 'maps/{}/'), ('{}/', 'maps/{}/'), ('images/{}/', 'masks/{}/'),
                                          ('{}/images/', '{}/labels/'), ('images/{}/', 'annotations/{}/')])
def test_folders_of_ones_own(images, maps, tmp_path):
    drawn = {split: write(tmp_path, images.format(split) + '{number}.png', maps.format(split) + '{number}.png', counts)
             for split, counts in (('train', (3,)), ('val', (3, 4)))}
    for split, records in zip(('train', 'val'), open_maps(tmp_path)):
        assert_pairs(records, drawn[split])
        assert records.legend.names == ['0', '1', '2', '3', '4']
        assert records.decoding == 'upright'


def test_two_folders_and_names_in_a_file(tmp_path):
    drawn = write(tmp_path, 'here/a{{/deep/{number}.bmp', 'there/{{/deep/{number}.png')
    pair = tmp_path / 'here/a{', tmp_path / 'there/{'
    (tmp_path / 'names').write_text('\n'.join('abcdef'))
    train, val = open_maps(images=pair[0], maps=pair[1], names=tmp_path / 'names')
    assert_pairs(train, drawn)
    assert_pairs(val, drawn)
    assert train.legend.names == list('abcdef')
    assert train.where(1) == str(tmp_path / 'here/a{/deep/1.bmp')
    assert train.where_map(1) == str(tmp_path / 'there/{/deep/1.png')


def test_a_share_is_held_out_by_name(tmp_path):
    write(tmp_path, 'images/{number}.png', 'maps/{number}.png', (20,))
    (tmp_path / 'classes.txt').write_text('\n'.join('abcde'))
    assert default_fraction(tmp_path) == 0.1
    train, val = open_maps(tmp_path, val_fraction=0.25, seed=3)
    names = [{records.where(index) for index in range(len(records))} for records in (train, val)]
    assert list(map(len, names)) == [15, 5]
    assert not names[0] & names[1]
    assert train.legend.names == list('abcde')
    for records in (train, val):
        for index in range(len(records)):
            assert records.where(index).replace('/images/', '/maps/') == records.where_map(index)
    other, = open_maps(tmp_path, val_fraction=0.25, seed=4, splits=['val'])
    assert {other.where(index) for index in range(5)} != names[1]


def test_names_of_mixed_depth_and_foreign_pictures(tmp_path):
    write(tmp_path, 'images/a/{number}.png', 'maps/a/{number}.png')
    (tmp_path / 'images/a/x.heic').write_bytes(b'')
    records, = open_maps(tmp_path, splits=['train'])
    assert (len(records), 'x.heic is left out' in records.note) == (3, True)


def _two_images(root):
    little_sets.save(root / 'images/train/1.bmp', little_sets.draw(0)[0])


def _masks_of_255(root):
    for path in root.rglob('maps/*/*.png'):
        Image.fromarray(np.asarray(Image.open(path)) // 128 * 255).save(path)


def _no_maps_at_all(root):
    (root / 'maps').rename(root / 'mops')


@pytest.mark.parametrize('change, wanted', [
    (lambda root: (root / 'maps/train/1.png').unlink(), ['images/train/1.png', 'missing', 'maps/train/1.png']),
    (lambda root: [path.unlink() for path in root.glob('maps/val/*')], ['maps/val', 'no maps']),
    (lambda root: [path.unlink() for path in root.glob('images/train/*')], ['images/train', 'no images']),
    (lambda root: (root / 'images/val').rename(root / 'images/other'), ['images/val', '--val-fraction']),
    (_no_maps_at_all, ['a data set with no maps', 'maps/train', 'Cityscapes']),
    (lambda root: (root / 'images').rename(root / 'pictures'), ['no layout', 'ADE20K', 'Cityscapes', 'Pascal VOC']),
    (_two_images, ['images/train/1.png', '1.bmp has the same name']),
    (_masks_of_255, ['single class', 'save the second one as 1']),
    (lambda root: (root / 'maps/train/1.png').write_bytes(b'x'), ['maps/train/1.png', '--classes']),
    (lambda root: (root / 'classes.txt').write_text('a\na'), ['classes.txt', 'called a'])])
def test_what_is_missing_is_named_in_one_line(change, wanted, tmp_path):
    for split in ('train', 'val'):
        write(tmp_path, f'images/{split}/{{number}}.png', f'maps/{split}/{{number}}.png')
    change(tmp_path)
    with pytest.raises(InputError) as refused:
        open_maps(tmp_path)
    assert '\n' not in str(refused.value)
    for text in wanted:
        assert text in str(refused.value)


def test_a_listing_without_its_image(tmp_path):
    little_sets.pascal_voc(tmp_path)
    (tmp_path / 'ImageSets/Segmentation/val.txt').write_text('2007_1\n2007_77\n')
    with pytest.raises(InputError, match=r'val.txt: 2007_77 has no image'):
        open_maps(tmp_path)


@pytest.mark.parametrize('given', [{}, {'root': '.', 'images': '.'}, {'images': '.'}, {'root': '.', 'maps': '.'},
                                   {'root': 'nothing'}, {'root': '~nobody-here/x'}, {'root': 'a\0b'},
                                   {'images': '.', 'maps': 'nothing'}])
def test_words_that_name_no_data(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        open_maps(**given)


def test_a_stray_value_makes_no_network_of_hundreds_of_classes(tmp_path):
    write(tmp_path, 'images/{number}.png', 'maps/{number}.png')
    _, values = little_sets.draw(1)
    values[3, 4] = 254
    little_sets.save(tmp_path / 'maps/1.png', values)
    with pytest.raises(InputError, match=r'maps/1\.png: label 254, though all maps hold only 6 labels of the 255 up'):
        open_maps(tmp_path)
    assert len(open_maps(tmp_path, names=list('abcdef'))[0].legend) == 6       # its map is refused where it is read
