"""Folders of shards with a damaged .rec, .idx or manifest.json: what opens gives the records that were written.

Bytes within a record may change without a word, since only ``--check`` reads the sums; that a record vanishes, comes
twice or changes its place may not, where an index or a manifest tells of it.
"""
import io
import tempfile
from pathlib import Path

import numpy as np
from mxnet.recordio import IRHeader, MXIndexedRecordIO, pack
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data import RecordSet, open_pair, write_shards

from .mutations import damaged_bytes, damaged_json, hostile_file

MAGIC = np.array([0xced7230a], dtype='<u4').tobytes()


def _images(count):
    rng = np.random.default_rng(0)
    for number in range(count):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (5, 4 + number), dtype=np.uint8)).save(buffer, 'png')
        yield buffer.getvalue() + (MAGIC * 2 + b'x' * number if number % 3 == 1 else b''), number % 3


def _written():
    """The files of two folders, ours and a foreign one, and the training records that they hold."""
    with tempfile.TemporaryDirectory() as name:
        ours, foreign = Path(name, 'ours'), Path(name, 'foreign')
        train = list(_images(9))
        write_shards(ours, {'train': train, 'val': train[:3]}, ['a', 'b', 'c'], 3)
        foreign.mkdir()
        writer = MXIndexedRecordIO(str(foreign / 'x.idx'), str(foreign / 'x.rec'), 'w')
        for number, (image, label) in zip((5, 1, 9, 0, 2, 17), train):
            writer.write_idx(number, pack(IRHeader(0, [label, 1.0] if number == 9 else label, number, 0), image))
        writer.close()
        return [({path.name: path.read_bytes() for path in folder.iterdir()}, wanted)
                for folder, wanted in ((ours, train), (foreign, train[:6]))]


WRITTEN = _written()


def _pieces(rec, idx):
    """The bytes of each record of a sound shard."""
    starts = [int(line.split()[1]) for line in idx.splitlines()]
    return [rec[start:end] for start, end in zip(starts, [*starts[1:], len(rec)])]


def _rearranged(rng, items):
    """``items`` with one of them missing, doubled, moved or swapped, or without the last ones."""
    items, (one, other) = list(items), rng.integers(len(items), size=2)
    kind = rng.integers(5)
    if kind == 0:
        del items[one]
    elif kind == 1:
        items.insert(other, items[one])
    elif kind == 2:
        items.insert(other, items.pop(one))
    elif kind == 3:
        items[one], items[other] = items[other], items[one]
    else:
        del items[one:]
    return items


def case(rng, folder):
    files, wanted = WRITTEN[int(rng.random() < 0.3)]
    files, exact = dict(files), True
    if rng.random() < 0.4:
        files.pop('manifest.json', None)
    sound = dict(files)
    victims = sorted(name for name in files if not name.startswith('val'))
    chosen = rng.choice(victims, size=rng.choice([1, 1, 1, 2]), replace=False)
    told = len(chosen) == 1 or 'manifest.json' in files         # two files may be cut at the same place
    for name in chosen:
        data, suffix, kind = sound[name], Path(name).suffix, rng.random()
        if kind < 0.1:
            files[name] = None                      # hostile
        elif kind < 0.2:
            files.pop(name, None)
            told = told and suffix == '.rec'        # without an index nothing may tell of records that are gone
        elif suffix == '.json':
            files[name] = damaged_json(rng, data.decode(errors='replace')) if rng.random() < 0.8 else b'[' * 10 ** 6
            told = False                            # what it tells of counts and sizes may be what has changed
        elif suffix == '.idx' and kind < 0.7:
            files[name] = b''.join(_rearranged(rng, data.splitlines(keepends=True)))
        elif suffix == '.rec' and kind < 0.7:
            index = name.replace('.rec', '.idx')
            pieces = _pieces(data, sound[index])
            changed = _rearranged(rng, pieces)
            files[name] = b''.join(changed)
            if [*map(len, changed)] == [*map(len, pieces)]:
                exact = False                       # records of one size have changed their places
            if rng.random() < 0.3 and 'manifest.json' not in files:
                files.pop(index, None)
                told = False
        else:
            files[name] = damaged_bytes(rng, data)
            exact = exact and suffix != '.rec'
    for name, data in files.items():
        if data is None:
            hostile_file(rng, folder / name)
        else:
            (folder / name).write_bytes(data)
    source = folder
    if files and rng.random() < 0.2:
        source = folder / rng.choice([*files, '*.rec', 'train-*', 'x.rec'])
    whole = source == folder
    before = {path.name for path in folder.iterdir()}
    part = (0, 1) if rng.random() < 0.1 else None       # of a machine that may hold only some of the shards
    with RecordSet(source, 'train', part) as records:
        found, refused = [], None
        for index in range(min(len(records), 100)):
            try:
                found.append(records[index])
            except InputError as error:
                refused = error
        records.where(0)
    after = {path.name for path in folder.iterdir()}
    assert all(name.endswith('.idx') for name in after - before), after - before
    if refused:
        raise refused
    if whole and told and not part:
        assert len(found) == len(wanted), f'{len(found)} records of {len(wanted)}'
        assert not exact or found == wanted, 'other records'
    with_classes = open_pair(source, source)
    for each in with_classes[:2]:
        each.close()
