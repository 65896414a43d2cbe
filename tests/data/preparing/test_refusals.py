"""What prepare_imagenet.py refuses, each with the file, the place and the remedy; and odd tars that it reads."""
import gzip
import os
import struct
import tarfile

import numpy as np
import pytest
from mxnet.recordio import IRHeader, MXIndexedRecordIO
from mxnet.recordio import pack as pack_record

from resnest.errors import InputError
from resnest.gluon.data.preparing.imagenet import find_source, verify_checksums
from resnest.gluon.data.preparing.kaggle import kaggle_source
from resnest.gluon.data.preparing.preparation import Options, prepare
from resnest.gluon.data.preparing.reencoding import BadImage, shrink
from resnest.gluon.data.preparing.tar_index import tar_members
from resnest.gluon.data.shards.writer import write_shard

from ...conftest import assert_refused, script_here
from . import ilsvrc
from .ilsvrc import DEVKIT, META, TRAIN, TRUTH, VAL, pack, packed
from .test_preparation import make_kaggle

PICTURE = ilsvrc.picture(np.random.default_rng(0))


@pytest.fixture
def made(tmp_path):
    return ilsvrc.make(tmp_path)


def refused(folder, *wanted):
    with pytest.raises(InputError) as error:
        find_source(folder)
    for text in wanted:
        assert str(text) in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', [TRAIN, VAL, DEVKIT])
def test_a_missing_file(made, tmp_path, name):
    (tmp_path / name).unlink()
    assert_refused(script_here('dataset/prepare_imagenet.py', '--download-dir', './', cwd=tmp_path),
                   f'{name}: missing', 'image-net.org', '--image-folder')
    assert not (tmp_path / 'rec').exists()


def test_truncated_anywhere(made, tmp_path):
    """Wherever it is cut, short of the end mark, the file and a byte at or before the cut are named."""
    for name in (TRAIN, VAL):
        data = (tmp_path / name).read_bytes()
        with tarfile.open(tmp_path / name) as opened:
            last = opened.getmembers()[-1]
        end = last.offset_data + (last.size + 511) // 512 * 512
        for cut in np.random.default_rng(0).integers(1, end, 60).tolist() + [1, 512, 513, end]:
            (tmp_path / name).write_bytes(data[:cut])
            refused(tmp_path, tmp_path / name, 'truncated', 'byte', 'again')
        (tmp_path / name).write_bytes(data[:end + 512])
        find_source(tmp_path)
    (tmp_path / TRAIN).write_bytes(b'')
    refused(tmp_path, TRAIN, 'truncated')


def test_a_damaged_header_is_not_taken_for_the_end(made, tmp_path):
    for name in (TRAIN, VAL):
        data = bytearray((tmp_path / name).read_bytes())
        place = data.rindex(b'ustar') // 512 * 512
        data[place + 3] ^= 1
        (tmp_path / name).write_bytes(data)
        refused(tmp_path, tmp_path / name, f'not readable as a tar: no member header at byte {place}')
        data[place + 3] ^= 1
        (tmp_path / name).write_bytes(data)


def test_text_or_compressed_files_in_the_place_of_a_tar(made, tmp_path):
    data = (tmp_path / VAL).read_bytes()
    (tmp_path / VAL).write_bytes(b'<html>' * 1000)
    refused(tmp_path, VAL, 'not readable as a tar', 'byte 0')
    (tmp_path / VAL).write_bytes(gzip.compress(data))
    refused(tmp_path, VAL, 'compressed')


def member(name, kind=tarfile.REGTYPE, target=''):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize('inside, wanted', [
    (member('../out.JPEG'), "'../out.JPEG' would lead out"), (member('/etc/x.JPEG'), "'/etc/x.JPEG' would lead out"),
    (member('a/../../x'), 'would lead out'), (member('x.JPEG', tarfile.SYMTYPE, '/etc/passwd'), 'is a link'),
    (member('x.JPEG', tarfile.LNKTYPE, 'y.JPEG'), 'is a link'), (member('x', tarfile.FIFOTYPE), 'special file'),
    (member('x', tarfile.CHRTYPE), 'special file')])
def test_members_that_lead_elsewhere(made, tmp_path, inside, wanted):
    for name in (TRAIN, VAL):
        data = (tmp_path / name).read_bytes()
        pack(tmp_path / name, [(inside, b'')])
        refused(tmp_path, name, wanted)
        (tmp_path / name).write_bytes(data)
    pack(tmp_path / 'inner.tar', [(inside, b'')])
    pack(tmp_path / TRAIN, [('n00000001.tar', (tmp_path / 'inner.tar').read_bytes())])
    refused(tmp_path, TRAIN, 'n00000001.tar', wanted)


@pytest.mark.parametrize('members, wanted', [
    ([], 'holds no class tars'), ([('n01.tar', packed([]))], 'n01.tar holds no image'),
    ([('x.JPEG', PICTURE)], 'x.JPEG is not a class tar'),
    ([('n01.tar', packed([('a', PICTURE)]))] * 2, 'n01.tar comes twice'),
    ([('n01.tar', packed([('a', PICTURE), ('b', PICTURE), ('./a', PICTURE)]))], 'n01.tar: ./a comes twice'),
    ([('n01.tar', b'short')], 'truncated'), ([('n01.tar', gzip.compress(packed([('a', PICTURE)])))], 'compressed')])
def test_training_tars_of_another_kind(made, tmp_path, members, wanted):
    pack(tmp_path / TRAIN, members)
    refused(tmp_path, TRAIN, wanted)


@pytest.mark.parametrize('change, wanted', [
    (lambda names: names[:-1], '8 images, but'), (lambda names: [*names, 'ILSVRC2012_val_00000010.JPEG'], 'no line'),
    (lambda names: [*names, names[0]], 'comes twice'), (lambda names: ['cat.JPEG'], 'is not named'),
    (lambda names: ['ILSVRC2012_val_00000000.JPEG'], 'no line')])
def test_validation_images_that_do_not_fit_the_ground_truth(made, tmp_path, change, wanted):
    pack(tmp_path / VAL, [(name, PICTURE) for name in change(sorted(made['val']))])
    refused(tmp_path, VAL, wanted)


WNIDS = ['n00000001', 'n00000002']


@pytest.mark.parametrize('members, wanted', [
    ([(TRUTH, b'1\n')], 'data/meta.mat is missing'), ([(META, ilsvrc.meta(WNIDS))], 'ground_truth.txt is missing'),
    ([(META, b'text'), (TRUTH, b'1\n')], 'meta.mat: not the table'),
    ([(META, ilsvrc.meta(WNIDS)[:300]), (TRUTH, b'1\n')], 'meta.mat: not the table'),
    ([(META, ilsvrc.meta(WNIDS)), (TRUTH, b'1\nx\n')], 'ground_truth.txt: invalid'),
    ([(META, ilsvrc.meta(WNIDS)), (TRUTH, b'1\n3\n')], 'line 2: 3 is no ILSVRC2012_ID'),
    ([(META, ilsvrc.meta(WNIDS)), (TRUTH, b'1\n' * 9), ('../x', b'')], 'would lead out')])
def test_development_kits(made, tmp_path, members, wanted):
    pack(tmp_path / DEVKIT, members, 'w:gz')
    refused(tmp_path, DEVKIT, wanted)


def test_a_damaged_development_kit_and_one_of_other_classes(made, tmp_path):
    data = (tmp_path / DEVKIT).read_bytes()
    for bad in (data[:len(data) // 2], b'', b'text'):
        (tmp_path / DEVKIT).write_bytes(bad)
        refused(tmp_path, DEVKIT, 'not a readable .tar.gz')
    ilsvrc.devkit(tmp_path / DEVKIT, ['n99999991', 'n99999992'], [2] * 9)
    refused(tmp_path, VAL, 'of class n99999992, of which ILSVRC2012_img_train.tar has no image')


def test_checksums(made, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=f'{TRAIN}: its sha1 is .{{40}}, the official one 43eda4fe'):
        find_source(tmp_path, checksum=True)
    (tmp_path / 'abc').write_bytes(b'abc')      # FIPS 180-1, appendix A
    monkeypatch.setattr('resnest.gluon.data.preparing.imagenet.CHECKSUMS',
                        {'abc': ('sha1', 'a9993e364706816aba3e25717850c26c9cd0d89d')})
    verify_checksums([tmp_path / 'abc'])


def test_kaggle_without_labels(made, tmp_path):
    data = make_kaggle(made, tmp_path)
    solution = tmp_path / 'LOC_val_solution.csv'
    lines = solution.read_text().splitlines(keepends=True)
    for text, wanted in ((''.join(lines[:-1]), 'no line in'), ('x,y\n1,2\n', 'not the table'),
                         (''.join([*lines, 'ILSVRC2012_val_00000077,n1 1\n']), 'ILSVRC2012_val_00000077 is missing'),
                         (''.join([lines[0], *(line.replace(',n', ',m') for line in lines[1:])]), 'is not in train')):
        solution.write_text(text)
        with pytest.raises(InputError, match=wanted):
            kaggle_source(tmp_path)
    solution.unlink()
    with pytest.raises(InputError, match='LOC_val_solution.csv, which is missing'):
        kaggle_source(tmp_path)
    solution.write_text(''.join(lines))
    with pytest.raises(InputError, match='--raw would write into'):
        prepare(kaggle_source(tmp_path), data, Options(raw=True))


def test_a_source_that_changes_meanwhile(made, tmp_path):
    source = find_source(tmp_path)
    data = (tmp_path / TRAIN).read_bytes()
    (tmp_path / TRAIN).write_bytes(data[:len(data) // 2])
    with pytest.raises(InputError, match=f'{TRAIN}: .*when it was indexed'):
        prepare(source, tmp_path, Options())
    assert not list((tmp_path / 'rec').glob('train*'))


def test_an_image_too_long_for_a_jpeg():
    from ...conftest import encoded
    with pytest.raises(BadImage, match='70000 x 2 pixels: too long'):
        shrink(encoded(np.zeros((2, 70_000, 3), np.uint8)), 224, 95, 'upright')


@pytest.mark.parametrize('kind', [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_every_format_read_as_tarfile_reads_them(tmp_path, kind):
    path = tmp_path / 'x.tar'
    names = ['plain.JPEG', './dotted.JPEG', f'{"d" * 90}/{"f" * 60}.JPEG', 'a b.JPEG']
    names += [] if kind == tarfile.USTAR_FORMAT else ['n' * 150 + '.JPEG', 'é' * 70 + '.JPEG', 'last']
    (tmp_path / 'file').write_bytes(os.urandom(1500))
    with tarfile.open(path, 'w', format=kind) as opened:
        opened.add(tmp_path, 'folder', recursive=False)
        for name in names:
            opened.add(tmp_path / 'file', name)     # with a time in fractions: an extended header in pax
    with tarfile.open(path) as opened:
        wanted = [(info.name, info.offset_data, info.size) for info in opened if info.isreg()]
    with open(path, 'rb') as opened:
        assert list(tar_members(opened.fileno(), path)) == wanted
    assert len(wanted) == len(names)


def test_shards_are_those_of_mxnets_writer(tmp_path):
    """Byte by byte, for data that hold the magic number at every place."""
    magic, rng = struct.pack('<I', 0xced7230a), np.random.default_rng(0)
    images = [b'', b'x', magic, magic * 3, b'1' + magic, b'1234' + magic + b'12', magic[:3] + magic]
    images += [b''.join([magic if kind == 0 else rng.bytes(kind) for kind in rng.integers(0, 6, 12)])
               for _ in range(200)]
    writer = MXIndexedRecordIO(str(tmp_path / 'mx.idx'), str(tmp_path / 'mx.rec'), 'w')
    for key, image in enumerate(images):
        writer.write_idx(key, pack_record(IRHeader(0, float(key % 7), 1000 + key, 0), image))
    writer.close()
    write_shard(tmp_path / 'ours.rec', ((1000 + key, key % 7, image) for key, image in enumerate(images)))
    for suffix in ('rec', 'idx'):
        assert (tmp_path / f'ours.{suffix}').read_bytes() == (tmp_path / f'mx.{suffix}').read_bytes()
