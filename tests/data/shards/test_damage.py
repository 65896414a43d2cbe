"""Indices, shards and manifests that do not agree: refused, where the set is opened or where a record is read."""
import itertools
import json
import os

import numpy as np
import pytest
from mxnet.recordio import IRHeader, MXIndexedRecordIO, pack

from resnest.errors import InputError
from resnest.gluon.data import RecordSet, open_pair
from resnest.gluon.data.shards.manifest import read_manifest

from .conftest import samples

NAME = 'train-00000-of-00001.rec'


def read_all(source):
    with RecordSet(source, 'train') as records:
        return [records[index] for index in range(len(records))]


def change_manifest(folder, change):
    path = folder / 'manifest.json'
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_what_im2rec_makes_is_read(foreign):
    assert read_all(foreign) == samples(8)
    foreign.with_suffix('.idx').unlink()
    assert read_all(foreign) == samples(8)


@pytest.mark.parametrize('manifest', [True, False])
@pytest.mark.parametrize('lines', [
    [0, 2, 3], [1, 2, 3], [0, 1, 2], [3], [], [0, 1, 1, 2, 3], [0, 1, 2, 3, 3], [1, 0, 2, 3], [0, 2, 1, 3],
    [3, 2, 1, 0], [0, 1, 0, 3]], ids=str)
def test_an_index_with_lines_missing_doubled_or_swapped(folder, manifest, lines):
    """No record vanishes, comes twice or changes its place without a word; without the index all of them are there."""
    path = folder / 'train-00002-of-00003.rec'
    if not manifest:
        (folder / 'manifest.json').unlink()
    index = path.with_suffix('.idx')
    written = index.read_text().splitlines()
    index.write_text(''.join(f'{written[line]}\n' for line in lines))
    with pytest.raises(InputError, match=r'train-00002-of-00003\.(rec|idx): .*remove') as error:
        read_all(folder)
    assert '\n' not in str(error.value)
    index.unlink()
    assert read_all(folder) == samples(10)


def test_the_manifest_tells_of_a_line_that_is_missing_before_anything_is_read(folder):
    index = folder / 'train-00002-of-00003.idx'
    lines = index.read_text().splitlines(keepends=True)
    index.write_text(''.join(lines[:1] + lines[2:]))
    with pytest.raises(InputError, match=r'train-00002-of-00003\.rec: 3 records, but the manifest says 4'):
        RecordSet(folder, 'train')
    (folder / 'manifest.json').unlink()
    records = RecordSet(folder, 'train')        # nothing tells, but the record before
    with pytest.raises(InputError, match=r'record 0 at byte 0 ends at byte \d+, but its \.idx has the next one start'):
        records[6]


@pytest.mark.parametrize('offset', [2 ** 63 - 1, 2 ** 63, 2 ** 64, 10 ** 30, -1, -2 ** 63, '', 'x', '1_0', '4.0', ' '])
def test_offsets_that_are_none(folder, offset):
    index = folder / 'train-00000-of-00003.idx'
    lines = index.read_text().splitlines()
    index.write_text(f'{lines[0]}\n1\t{offset}\n{lines[2]}\n')
    with pytest.raises(InputError, match=r'not an index|truncated|its offsets are not those'):
        RecordSet(folder, 'train')


@pytest.mark.parametrize('manifest, index', itertools.product([True, False], repeat=2))
def test_a_shard_that_was_cut_at_the_boundary_of_a_record(folder, manifest, index):
    """Found by the index or by the manifest. Without both it is a shard of fewer records."""
    path = folder / 'train-00002-of-00003.rec'
    last = int(path.with_suffix('.idx').read_text().split()[-1])
    path.write_bytes(path.read_bytes()[:last])
    if not manifest:
        (folder / 'manifest.json').unlink()
    if not index:
        path.with_suffix('.idx').unlink()
    if manifest or index:
        with pytest.raises(InputError, match=r'train-00002-of-00003\.rec: truncated'):
            RecordSet(folder, 'train')
    else:
        assert read_all(folder) == samples(10)[:-1]


@pytest.mark.parametrize('manifest', [True, False])
@pytest.mark.parametrize('order', [[1, 0, 2, 3], [0, 1, 3, 2], [0, 0, 2, 3], [0, 2, 3], [0, 1, 2, 2, 3]], ids=str)
def test_records_that_were_shuffled_doubled_or_cut_out(folder, manifest, order):
    path = folder / 'train-00002-of-00003.rec'
    starts = [int(line.split()[1]) for line in path.with_suffix('.idx').read_text().splitlines()]
    data = path.read_bytes()
    pieces = [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)])]
    assert len({len(piece) for piece in pieces}) == 4
    path.write_bytes(b''.join(pieces[place] for place in order))
    if not manifest:
        (folder / 'manifest.json').unlink()
    with pytest.raises(InputError, match=r'train-00002-of-00003\.'):
        read_all(folder)


def test_the_manifest_tells_of_records_that_an_index_made_anew_does_not_find(folder):
    """A shard of the right size with another number of records, and no index."""
    path = folder / 'train-00002-of-00003.rec'
    data = path.read_bytes()
    starts = [int(line.split()[1]) for line in path.with_suffix('.idx').read_text().splitlines()]
    length = starts[2] - 8
    path.write_bytes(data[:4] + np.array([length], '<u4').tobytes() + data[8:])      # the first takes the second in
    path.with_suffix('.idx').unlink()
    with pytest.raises(InputError, match=r'train-00002-of-00003\.rec: 3 records, but the manifest says 4'):
        RecordSet(folder, 'train')


@pytest.mark.parametrize('cut', ['middle', 'end'])
@pytest.mark.parametrize('index', [True, False])
def test_a_record_of_several_parts_without_one_of_them(tmp_path, index, cut):
    magic = np.array([0xced7230a], dtype='<u4').tobytes()
    path = tmp_path / 'x.rec'
    writer = MXIndexedRecordIO(str(path.with_suffix('.idx')), str(path), 'w')
    for number in range(2):
        writer.write_idx(number, pack(IRHeader(0, 1, number, 0), (b'12345678' + magic) * 2 + b'1234'))
    writer.close()
    data = path.read_bytes()
    assert len(data) == 2 * (8 + 24 + 8 + 8 + 8 + 8 + 4)
    path.write_bytes(data[:-12] if cut == 'end' else data[:56] + data[68:])
    if not index:
        path.with_suffix('.idx').unlink()
    with pytest.raises(InputError, match=r'x\.(rec|idx): '):
        read_all(path)


@pytest.mark.parametrize('word', [0, 3, 2 ** 28, 2 ** 29 - 1, 2 ** 31, 2 ** 32 - 1])
def test_a_length_that_is_wrong_allocates_nothing(foreign, word):
    """Nor is anything read beyond the place of the record."""
    data = bytearray(foreign.read_bytes())
    data[4:8] = np.array([word], dtype='<u4').tobytes()
    foreign.write_bytes(data)
    os.truncate(foreign, len(data))
    records = RecordSet(foreign, 'train')
    with pytest.raises(InputError, match='record 0 at byte 0 '):
        records[0]
    assert records[1] == samples(2)[1]


@pytest.mark.parametrize('label', [1e38, -1e38, 2.0 ** 24 + 2])
def test_a_label_beyond_what_float32_counts(foreign, label):
    data = bytearray(foreign.read_bytes())
    data[12:16] = np.array([label], dtype='<f4').tobytes()
    foreign.write_bytes(data)
    with pytest.raises(InputError, match='is no class number'):
        open_pair(foreign, foreign)


CHANGES = {
    'null': lambda m: m.update(splits=None),
    'no classes': lambda m: m.update(classes=None),
    'classes of another kind': lambda m: m['classes'].append(None),
    'a split of another kind': lambda m: m['splits'].update(train=None),
    'shards of another kind': lambda m: m['splits']['train'].update(shards=None),
    'a shard of another kind': lambda m: m['splits']['train']['shards'].append(None),
    'a size of another kind': lambda m: m['splits']['train']['shards'][0].update(bytes=None),
    'a size that is true': lambda m: m['splits']['train']['shards'][0].update(bytes=True),
    'a huge size': lambda m: m['splits']['train']['shards'][0].update(bytes=2 ** 64),
    'negative': lambda m: m['splits']['train']['shards'][0].update(records=-1),
    'no sum': lambda m: m['splits']['train'].update(records=None),
    'another sum': lambda m: m['splits']['train'].update(records=9),
    'a shard left out': lambda m: m['splits']['train']['shards'].pop(1),
    'no shards': lambda m: m['splits']['train'].update(shards=[], records=0),
    'twice': lambda m: m['splits']['train']['shards'].__setitem__(1, m['splits']['train']['shards'][0]),
    'swapped': lambda m: m['splits']['train']['shards'].reverse(),
    'left out of nothing': lambda m: m.update(skipped=[{'shard': 'x.rec'}]),
    'left out of null': lambda m: m.update(skipped=None),
}


@pytest.mark.parametrize('change', CHANGES.values(), ids=CHANGES)
def test_a_manifest_of_another_shape(folder, change):
    change_manifest(folder, change)
    with pytest.raises(InputError, match='not a manifest|no records|their names tell of a set of 3'):
        RecordSet(folder, 'train')


@pytest.mark.parametrize('name', [
    '../outside.rec', '{folder}/outside.rec', 'x/../../outside.rec', '/dev/stdin', '..', '.', '', 'a\0.rec',
    'outside.txt', 'x' * 300 + '.rec', None, 5, ['outside.rec']])
def test_a_manifest_that_tells_of_files_elsewhere(folder, name):
    """Nothing outside of the folder is read, whether or not it is there."""
    inside = folder / 'inside'
    inside.mkdir()
    for path in folder.glob('train-*'):
        path.rename(inside / path.name)
    (inside / 'train-00000-of-00003.rec').rename(folder / 'outside.rec')
    (folder / 'manifest.json').rename(inside / 'manifest.json')
    name = name.format(folder=folder) if isinstance(name, str) else name
    change_manifest(inside, lambda m: m['splits']['train']['shards'][0].update(file=name))
    with pytest.raises(InputError, match='not a manifest .*is no name of a .rec file in this folder') as error:
        RecordSet(inside, 'train')
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize('text', ['[' * 100_000, '{"classes":' * 5000, '{"a": NaN}', '9' * 5000, '\ufffe', 'null',
                                  '""'])
def test_a_manifest_that_is_nested_or_no_json(folder, text):
    (folder / 'manifest.json').write_text(text)
    with pytest.raises(InputError, match='not a manifest') as error:
        read_manifest(folder)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize('name', ['manifest.json', 'train-00001-of-00003.idx', 'train-00001-of-00003.rec'])
@pytest.mark.parametrize('kind', ['folder', 'pipe', 'device', 'loop', 'endless'])
def test_what_is_no_plain_file(folder, name, kind):
    path = folder / name
    if name != 'manifest.json':
        (folder / 'manifest.json').unlink()
    path.unlink()
    if kind == 'folder':
        path.mkdir()
    elif kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'endless':
        with open(path, 'wb') as opened:
            opened.truncate(1 << 40)
    else:
        path.symlink_to('/dev/zero' if kind == 'device' else path)
    with pytest.raises(InputError, match=name.replace('.', r'\.')):
        RecordSet(folder, 'train')


@pytest.mark.parametrize('source', ['~nobody-of-this-name/rec', 'a\0b', 'x' * 5000, '', '{folder}/x.idx'])
def test_a_source_that_no_file_can_have(foreign, source, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp('empty'))
    foreign.rename(foreign.with_suffix('.old'))
    foreign.with_suffix('.idx').rename(foreign.with_name('x.idx'))
    with pytest.raises(InputError) as error:
        RecordSet(source.format(folder=foreign.parent), 'train')
    assert len(str(error.value).splitlines()) == 1
