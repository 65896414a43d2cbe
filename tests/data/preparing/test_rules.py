"""Whether pictures are turned upright: what a manifest says of it, what --resize makes of it, and older manifests."""
import io
import json

import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data import RecordSet, write_shards
from resnest.gluon.data.preparing.imagenet import find_source
from resnest.gluon.data.preparing.preparation import Options, prepare
from resnest.gluon.data.preparing.reencoding import shrink
from resnest.gluon.tasks.classification.names import imagenet_classes

from ...conftest import encoded, read_json
from ..images.test_decoding import BAD

# Red to the right, green downwards: which way a picture lies shows in any corner.
ROWS, COLUMNS = np.mgrid[0:60, 0:100]
PIXELS = np.stack([2 * COLUMNS, 4 * ROWS, np.full_like(ROWS, 60)], axis=2).astype('uint8')


def phone(pixels, orientation):
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, 'JPEG', exif=exif, quality=95)
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    for label in ('cat', 'dog'):
        (folder / label).mkdir(parents=True)
        for number in range(2):
            (folder / label / f'{number}.jpg').write_bytes(phone(np.rot90(PIXELS), 6))
    return folder


@pytest.mark.parametrize('rule, lies', [('upright', PIXELS), ('stored', np.rot90(PIXELS))])
def test_what_is_resized_lies_as_its_rule_says_and_has_no_tag(rule, lies):
    for short, wanted in ((30, 30), (60, 60), (200, 60)):      # never enlarged
        image = Image.open(io.BytesIO(shrink(phone(np.rot90(PIXELS), 6), short, 95, rule)))
        assert min(image.size) == wanted
        assert (image.width > image.height) == (lies.shape[1] > lies.shape[0])
        assert 'exif' not in image.info
        found = np.asarray(image.resize(lies.shape[1::-1], Image.BILINEAR)).astype(int)
        assert np.abs(found - lies).mean() < 4      # turned another way it is off by 40 and more


@pytest.mark.parametrize('size', [(9, 5), (5, 9), (300, 7)])
def test_a_picture_that_is_smaller_keeps_its_size(size):
    data = encoded(np.zeros((size[1], size[0], 3), np.uint8))
    assert Image.open(io.BytesIO(shrink(data, 256, 90, 'upright'))).size == size


def test_imagenet_is_stored_and_other_folders_are_upright(photos, official, tmp_path):
    assert prepare(find_source(official[0]), tmp_path / 'official', Options())['decoding'] == 'stored'
    assert prepare(find_source('.', photos), tmp_path / 'own', Options())['decoding'] == 'upright'
    assert RecordSet(tmp_path / 'official/rec', 'val').decoding == 'stored'
    assert RecordSet(tmp_path / 'own', 'train').decoding == 'upright'
    with pytest.raises(InputError, match='has validation images of its own; leave out --val-fraction'):
        find_source(official[0], val_fraction=0.1)
    for wnid in imagenet_classes():
        (tmp_path / 'wnids' / wnid).mkdir(parents=True)
        (tmp_path / 'wnids' / wnid / '0.png').write_bytes(b'x')
    assert find_source('.', tmp_path / 'wnids').decoding == 'stored'


def change(path, **changes):
    manifest = {**read_json(path), **changes}
    path.write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}))


@pytest.mark.parametrize('changes, wanted', [
    ({}, 'upright'), ({'classes': list(imagenet_classes())}, 'stored'), ({'options': {'resize': 256}}, 'stored'),
    ({'source': {'kind': 'Kaggle'}}, 'stored'), ({'source': 'scikit-learn'}, 'stored'), ({'source': None}, 'stored'),
    ({'decoding': 'stored'}, 'stored')])
def test_what_a_manifest_without_a_rule_means(photos, tmp_path, changes, wanted):
    prepare(find_source('.', photos), tmp_path, Options())
    change(tmp_path / 'rec/manifest.json', **{'decoding': None, **changes})
    assert RecordSet(tmp_path, 'train').decoding == wanted
    assert RecordSet(tmp_path / 'rec/*.rec', 'train').decoding == wanted


def test_rules_that_cannot_be_followed(photos, tmp_path):
    prepare(find_source('.', photos), tmp_path / 'a', Options())
    write_shards(tmp_path / 'b', {'train': [(encoded(PIXELS), 0)]}, ['cat', 'dog'])
    assert RecordSet(tmp_path / 'b', 'train').decoding == 'stored'
    (tmp_path / 'b/manifest.json').unlink()
    assert RecordSet(tmp_path / 'b', 'train').decoding == 'stored'
    (tmp_path / 'b').rename(tmp_path / 'a/b')
    with pytest.raises(InputError, match='/a/rec: its images are turned upright by EXIF, those of .*/a/b are not'):
        RecordSet(tmp_path / 'a/*/*.rec', 'train')
    change(tmp_path / 'a/rec/manifest.json', decoding='sideways')
    with pytest.raises(InputError, match='decoding must be upright or stored'):
        RecordSet(tmp_path / 'a', 'train')


def test_a_folder_that_an_earlier_version_has_begun(photos, tmp_path):
    """Original bytes are the same by either rule; re-encoded ones are not, and would be mixed."""
    source = find_source('.', photos)
    for resize in (None, 32):
        folder = tmp_path / str(resize)
        prepare(source, folder, Options(resize=resize))
        change(folder / 'rec/manifest.json', decoding=None)
        if resize:
            with pytest.raises(InputError, match='manifest.json: was begun by an earlier version, whose --resize made '
                                                 'other pixels of some pictures; delete .*rec, or choose'):
                prepare(source, folder, Options(resize=resize))
        else:
            assert prepare(source, folder, Options())['decoding'] == 'upright'


def test_every_exception_of_a_decoder_is_a_bad_image_that_can_be_left_out(photos, tmp_path, capsys):
    for number, (data, _) in enumerate(BAD.values()):
        (photos / 'cat' / f'bad{number}.png').write_bytes(data)
    for settings in ({'skip_bad': True}, {'skip_bad': True, 'resize': 16}):
        manifest = prepare(find_source('.', photos), tmp_path / str(len(settings)), Options(**settings))
        assert sorted(item['member'] for item in manifest['skipped']) == sorted(
            f'cat/bad{number}.png' for number in range(len(BAD)))
        assert manifest['splits']['train']['records'] == 4
    assert 'struct.error' in capsys.readouterr().err
