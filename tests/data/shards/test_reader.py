"""Shards against mxnet's own reader, and what damage says."""
import hashlib
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import numpy as np
import pytest
from mxnet.recordio import IRHeader, MXIndexedRecordIO, pack, unpack

from resnest.errors import InputError
from resnest.gluon.data import RecordSet, open_pair, write_shards
from resnest.gluon.data.preparing.raw_folders import write_image
from resnest.gluon.inference.calibration_images import calibration_records

from ...conftest import read_json
from .conftest import samples


def test_round_trip_in_order(folder):
    records = RecordSet(folder, 'train')
    assert len(records) == 10
    assert [records[index] for index in range(10)] == samples(10)
    assert records.classes == ['a', 'b', 'c']
    assert len(RecordSet(folder, 'val')) == 4
    with pytest.raises(IndexError):
        records[10]


def test_mxnet_reads_what_is_written(folder):
    found = []
    for path in sorted(folder.glob('train-*.rec')):
        reader = MXIndexedRecordIO(str(path.with_suffix('.idx')), str(path), 'r')
        for key in reader.keys:
            header, image = unpack(reader.read_idx(key))
            found.append((image, int(header.label)))
    assert found == samples(10)


def test_reads_what_mxnet_writes(tmp_path):
    """Labels in an array, and data that hold the format's magic number, which the writer cuts there."""
    magic = np.array([0xced7230a], dtype='<u4').tobytes()
    images = [b'plain', magic * 3, b'1234' + magic + b'rest', b'']
    writer = MXIndexedRecordIO(str(tmp_path / 'x.idx'), str(tmp_path / 'x.rec'), 'w')
    for number, image in enumerate(images):
        label = float(number) if number % 2 else np.array([number, 5.0], dtype='float32')
        writer.write_idx(number, pack(IRHeader(0, label, number, 0), image))
    writer.close()
    records = RecordSet(tmp_path / 'x.rec', 'train')
    assert [records[index] for index in range(4)] == [(image, number) for number, image in enumerate(images)]


def test_manifest_tells_what_the_files_hold(folder):
    manifest = read_json(folder / 'manifest.json')
    assert manifest['seed'] == 7
    assert sum(shard['records'] for shard in manifest['splits']['train']['shards']) == 10
    for split in manifest['splits'].values():
        for shard in split['shards']:
            data = (folder / shard['file']).read_bytes()
            assert shard['bytes'] == len(data)
            assert shard['sha256'] == hashlib.sha256(data).hexdigest()


def test_the_labels_tell_the_classes_without_a_manifest(tmp_path):
    path = tmp_path / 'one.rec'
    writer = MXIndexedRecordIO(str(path.with_suffix('.idx')), str(path), 'w')
    for number, label in enumerate((2, 0, [6.0, 9.0], 1)):      # the first of several labels counts
        writer.write_idx(number, pack(IRHeader(0, label, number, 0), b'image'))
    writer.close()
    assert RecordSet(path, 'train').count_classes() == 7
    train, val, classes = open_pair(path, path)
    assert (len(train), len(val), classes) == (4, 4, 7)
    assert open_pair(path, path, 10)[2] == 10


def test_one_file_and_a_pattern(folder):
    assert len(RecordSet(folder / 'train-00000-of-00003.rec', 'train')) == 3
    assert len(RecordSet(str(folder / 'train-0000[12]*.rec'), 'train')) == 7


@pytest.mark.parametrize('manifest', [True, False])
@pytest.mark.parametrize('index', [True, False])
def test_a_truncated_shard_is_named_at_once(folder, manifest, index):
    """Wherever it is cut, with the record and its place in the file; with and without what tells its size."""
    path = folder / 'train-00001-of-00003.rec'
    data = path.read_bytes()
    offsets = [int(line.split()[1]) for line in path.with_suffix('.idx').read_text().splitlines()]
    if not manifest:
        (folder / 'manifest.json').unlink()
    if not index:
        path.with_suffix('.idx').unlink()
    for cut in [1, 8, 9, 40, len(data) - 3, *(offset + more for offset in offsets[1:] for more in (-4, 5))]:
        path.write_bytes(data[:cut])
        record = sum(offset < cut for offset in offsets) - 1
        with pytest.raises(InputError, match=r'train-00001-of-00003\.rec: .*truncated') as error:
            RecordSet(folder, 'train')
        named = {f'record {number} ' for number in (record, record + 1) if f'record {number} ' in str(error.value)}
        # The index tells where the next one should start, the file itself where its last one does.
        assert named, (cut, str(error.value))
        assert any(f'byte {offsets[number]}' in str(error.value) for number in (record, record + 1)
                   if number < len(offsets))


def test_a_damaged_record_is_named_when_it_is_read(folder):
    path = folder / 'train-00002-of-00003.rec'
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    records = RecordSet(folder, 'train')
    assert records[0] == samples(1)[0]
    with pytest.raises(InputError, match=r'train-00002-of-00003\.rec: record 0 at byte 0 is truncated or damaged'):
        records[6]


def test_what_is_missing_is_named(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp('empty')
    with pytest.raises(InputError, match='no .rec files'):
        RecordSet(empty, 'train')
    with pytest.raises(InputError, match='no such file or folder'):
        RecordSet(empty / 'nothing', 'train')


@pytest.mark.parametrize('text', ['0 12\n', 'nonsense', '0\tx\n'])
def test_an_index_of_something_else(folder, text):
    (folder / 'val-00000-of-00003.idx').write_text(text)
    with pytest.raises(InputError, match='not an index|truncated|lists fewer'):
        RecordSet(folder, 'val')


def test_an_empty_shard_and_a_bad_manifest(tmp_path):
    write_shards(tmp_path, {'train': []}, ['a'])
    with pytest.raises(InputError, match='no records'):
        RecordSet(tmp_path, 'train')
    (tmp_path / 'manifest.json').write_text('{')
    with pytest.raises(InputError, match='not a manifest'):
        RecordSet(tmp_path, 'train')


def test_nothing_half_made_is_left(folder):
    assert not list(folder.glob('*.part'))
    # A crash while writing leaves neither a .rec nor a manifest under its final name.
    other = folder / 'other'
    with pytest.raises(RuntimeError):
        write_shards(other, {'train': Failing(samples(4))}, ['a'])
    assert not [path for path in other.iterdir() if path.suffix in ('.rec', '.idx', '.json')]
    shutil.rmtree(other)


class Failing(list):
    """A list whose slices fail half-way."""

    def __getitem__(self, key):
        def values():
            yield from super(Failing, self).__getitem__(slice(0, 2))
            raise RuntimeError('half-way')
        return values()


def test_a_missing_index_is_made_again(tmp_path):
    magic = np.array([0xced7230a], dtype='<u4').tobytes()
    images = [b'plain', magic * 3, b'1234' + magic, b'']
    write_shards(tmp_path, {'train': [(image, number) for number, image in enumerate(images)]}, list('abcd'))
    index = tmp_path / 'train-00000-of-00001.idx'
    wanted = index.read_text()
    index.unlink()
    records = RecordSet(tmp_path, 'train')
    assert [records[number] for number in range(4)] == [(image, number) for number, image in enumerate(images)]
    assert index.read_text() == wanted
    last = wanted.split()[-1]
    index.unlink()
    path = index.with_suffix('.rec')
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=rf'train-00000-of-00001\.rec: record 3 at byte {last} is truncated'):
        RecordSet(path, 'train')
    assert not index.exists()


def test_the_ranks_of_a_job_may_make_the_index_at_once(folder):
    path = folder / 'train-00000-of-00003.rec'
    wanted = path.with_suffix('.idx').read_text()

    def rank(barrier):
        barrier.wait()
        return len(RecordSet(path, 'train'))

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            path.with_suffix('.idx').unlink()
            assert list(pool.map(rank, [threading.Barrier(8)] * 8)) == [3] * 8
            assert path.with_suffix('.idx').read_text() == wanted
    assert not list(folder.glob('.index-*'))


def test_sets_that_are_not_whole_are_refused(folder):
    """A lost shard, another preparation's shards beside it, a shortened index: never a smaller or larger set."""
    path, index = folder / 'train-00001-of-00003.rec', folder / 'train-00001-of-00003.idx'
    kept = index.read_text()
    index.write_text(kept[:len(kept) // 2].rpartition('\n')[0] + '\n')
    with pytest.raises(InputError, match='lists fewer records'):
        RecordSet(folder, 'train')
    index.write_text(kept)
    shutil.copy(path, folder / 'train-00000-of-00005.rec')
    assert len(RecordSet(folder, 'train')) == 10            # the manifest tells which
    (folder / 'manifest.json').unlink()
    with pytest.raises(InputError, match='a set of 3|a set of 5'):
        RecordSet(folder, 'train')
    (folder / 'train-00000-of-00005.rec').unlink()
    assert len(RecordSet(folder, 'train')) == 10
    path.unlink()
    with pytest.raises(InputError, match='2 shards, but their names tell of a set of 3'):
        RecordSet(folder, 'train')


def test_a_shard_that_the_manifest_lists_is_missing(folder):
    (folder / 'train-00001-of-00003.rec').unlink()
    with pytest.raises(InputError, match=r'train-00001-of-00003\.rec: missing, but manifest.json lists it'):
        RecordSet(folder, 'train')
    assert len(RecordSet(folder, 'train', part=(0, 1))) == 7        # a machine that holds only some of them


@pytest.mark.parametrize('manifest', ['{', '[1]', '{"classes": 5}', '{"classes": ["a"], "splits": {"train": 3}}'])
def test_a_manifest_of_something_else(folder, manifest):
    (folder / 'manifest.json').write_text(manifest)
    with pytest.raises(InputError, match='not a manifest'):
        RecordSet(folder, 'train')


@pytest.mark.parametrize('label', [0.5, float('nan'), float('inf')])
def test_a_label_that_is_no_class(tmp_path, label):
    writer = MXIndexedRecordIO(str(tmp_path / 'x.idx'), str(tmp_path / 'x.rec'), 'w')
    writer.write_idx(0, pack(IRHeader(0, label, 0, 0), b'image'))
    writer.close()
    with pytest.raises(InputError, match=r'x\.rec, record 0 at byte 0: its label \(.*\) is no class number'):
        RecordSet(tmp_path / 'x.rec', 'train')[0]


def rename(folder, *names):
    """The validation shards of a folder under other names, without their indices and the manifest."""
    for path, name in zip(sorted(folder.glob('val-*.rec')), names):
        path.rename(folder / name)
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


@pytest.mark.parametrize('train, val', [
    ('train.rec', 'val.rec'), ('train-a.rec', 'val-a.rec'), ('imagenet_train.rec', 'imagenet-val.rec'),
    ('train_480.rec', 'val_480.rec'), ('train.rec', 'interval_val.rec')])
def test_without_a_manifest_the_names_tell_the_split(folder, train, val):
    """Both splits were both files: validated with training images, without a word."""
    rename(folder, train, val, 'interval.rec')
    for split, name in (('train', train), ('val', val)):
        assert [path.name for path in RecordSet(folder, split).files] == [name]
    records, _ = calibration_records(rec_dir=str(folder), needed=False)
    assert [path.name for path in records.files] == [train]


@pytest.mark.parametrize('names', [('a.rec', 'b.rec'), ('train.rec',), ('train.rec', 'interval.rec')])
def test_without_a_manifest_no_name_of_another_split_is_taken(folder, names):
    rename(folder, *names)
    with pytest.raises(InputError, match="no .rec file bears the name of 'val'") as error:
        RecordSet(folder, 'val')
    assert '\n' not in str(error.value)
    assert len(RecordSet(folder / '*.rec', 'val').files) == len(names)


def test_a_single_file_of_no_name_is_any_split_but_not_for_calibration(folder):
    rename(folder, 'data.rec')
    assert RecordSet(folder, 'train').files == RecordSet(folder, 'val').files
    assert calibration_records(rec_dir=str(folder), needed=False) == (None, None)


def test_a_manifest_of_another_program(folder):
    """That of a web application has the same name."""
    (folder / 'manifest.json').write_text('{"name": "My app", "icons": []}')
    for source in (folder, folder / 'train-00000-of-00003.rec', folder / 'train-*.rec'):
        assert RecordSet(source, 'train').classes is None
    assert len(RecordSet(folder, 'train')) == 10


def test_links_in_the_place_of_parts_are_not_followed(tmp_path):
    """Who may write into the folder could have had any file of ours written over."""
    victim, name = tmp_path / 'victim', 'train-00000-of-00001'
    victim.write_text('precious')
    for part in (f'{name}.rec.part', f'{name}.idx.part', 'manifest.json.part'):
        (tmp_path / part).symlink_to(victim)
    (tmp_path / 'train').mkdir()
    (tmp_path / 'train/.prepare-3.part').symlink_to(victim)
    write_shards(tmp_path, {'train': samples(2)}, ['a', 'b'])
    write_image(tmp_path, PurePosixPath('train/a/b.png'), 3, b'image')
    assert victim.read_text() == 'precious'
    assert (tmp_path / 'train/a/b.png').read_bytes() == b'image'
    assert RecordSet(tmp_path, 'train')[1] == samples(2)[1]


def test_two_that_write_into_one_folder(folder):
    """The second one is refused, and changes nothing."""
    class Meanwhile(list):
        def __getitem__(self, key):
            with pytest.raises(InputError, match='another process is preparing into it'):
                write_shards(folder, {'val': samples(1)}, ['a'])
            return super().__getitem__(key)

    write_shards(folder, {'train': Meanwhile(samples(5))}, ['a', 'b', 'c'])
    assert len(RecordSet(folder, 'train')) == 5
    assert not list(folder.glob('*.lock'))
