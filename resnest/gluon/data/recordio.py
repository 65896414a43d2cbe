"""RecordIO shards: MXNet's ``.rec`` and ``.idx`` files with a ``manifest.json`` beside them.

A record is ``magic, flag (3 bits) and length (29 bits), data, padding to 4 bytes``; its data start with
the header ``flag, label, id, id2`` of mxnet.recordio and go on with an encoded image. ``.idx`` has a
line ``key<TAB>offset`` a record.
"""
import bisect
import glob
import json
import os
import struct
from pathlib import Path

import numpy as np

from resnest.errors import InputError

__all__ = ['RecordSet']

MAGIC = 0xced7230a
HEADER = struct.Struct('<IfQQ')         # flag (number of extra labels), label, id, id2
MANIFEST = 'manifest.json'


class RecordSet:
    """The records of a folder of shards, of one ``.rec`` file, or of a pattern, as one sequence.

    ``records[i]`` is ``(encoded image: bytes, label: int)``. Files are read by offset with ``pread``: any
    number of threads may read, and forked processes too. Only the offsets are held in memory.

    Parameters
    ----------
    source : str or Path
        In a folder, the shards ``{split}-*.rec`` are taken, or all ``.rec`` files where none has such a name.
    split : str
        ``'train'`` or ``'val'``.

    ``classes`` are the class names of the manifest, None without one. Raises InputError for what is missing,
    empty, truncated or damaged; the message names the file and the record.
    """

    def __init__(self, source, split):
        self.files = _find_shards(source, split)
        self.classes = _read_classes(self.files[0].parent)
        self._offsets = [_read_index(path) for path in self.files]
        self._ends = np.cumsum([len(offsets) for offsets in self._offsets]).tolist()
        self._descriptors = [os.open(path, os.O_RDONLY) for path in self.files]
        if not self._ends[-1]:
            raise InputError(f'{source}: no records; prepare the data again')

    def __len__(self):
        return self._ends[-1]

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        shard = bisect.bisect_right(self._ends, index)
        local = index - (self._ends[shard - 1] if shard else 0)
        data = self._read(shard, local)
        flag, label, _, _ = HEADER.unpack_from(data)
        if flag:
            label, = struct.unpack_from('<f', data, HEADER.size)
        return data[HEADER.size + 4 * flag:], int(label)

    def where(self, index):
        """File and place of a record, for messages."""
        shard = bisect.bisect_right(self._ends, index)
        local = index - (self._ends[shard - 1] if shard else 0)
        return f'{self.files[shard]}, record {local}'

    def _read(self, shard, local):
        offset = self._offsets[shard][local]
        parts = []
        while True:
            head = os.pread(self._descriptors[shard], 8, offset)
            magic, word = struct.unpack('<II', head) if len(head) == 8 else (None, 0)
            flag, length = word >> 29, word & (1 << 29) - 1
            data = os.pread(self._descriptors[shard], length, offset + 8)
            if magic != MAGIC or len(data) < length:
                raise InputError(f'{self.files[shard]}: record {local} at byte {offset} is truncated or damaged; '
                                 f'prepare or copy the file again')
            parts.append(data)
            if flag in (0, 3):      # whole, or the last part; the writer cuts data where they hold the magic
                break
            offset += 8 + (length + 3) // 4 * 4
        whole = struct.pack('<I', MAGIC).join(parts)
        if len(whole) < HEADER.size:
            raise InputError(f'{self.files[shard]}: record {local} has no image header; prepare the file again')
        return whole

    def __del__(self):
        for descriptor in getattr(self, '_descriptors', ()):
            os.close(descriptor)


def _find_shards(source, split):
    path = Path(source).expanduser()
    if path.is_dir():
        files = sorted(path.glob(f'{split}-*.rec')) or sorted(path.glob('*.rec'))
        if not files:
            raise InputError(f'{path}: no .rec files; run scripts/dataset/prepare_imagenet.py or prepare_digits.py')
    elif path.is_file():
        files = [path]
    else:
        files = sorted(Path(name) for name in glob.glob(str(path)))
        if not files:
            raise InputError(f'{path}: no such file or folder; give a folder of shards, a .rec file or a pattern')
    return files


def _read_index(path):
    """Offsets of the records of a shard, in the order of the index, checked against the file's size."""
    index = path.with_suffix('.idx')
    if not index.is_file():
        raise InputError(f'{index}: missing; it must lie beside {path.name}')
    try:
        offsets = [int(line.split('\t')[1]) for line in index.read_text().splitlines()]
    except (IndexError, ValueError):
        raise InputError(f'{index}: not an index of record offsets; prepare the data again') from None
    size = path.stat().st_size
    if offsets and max(offsets) + 8 >= size:
        record = next(i for i, offset in enumerate(offsets) if offset + 8 >= size)
        raise InputError(f'{path}: truncated: it has {size} bytes, but record {record} starts at byte '
                         f'{offsets[record]}; prepare or copy the file again')
    with open(path, 'rb') as opened:
        if offsets:
            opened.seek(max(offsets))
            magic, word = struct.unpack('<II', opened.read(8))
            if magic != MAGIC or max(offsets) + 8 + (word & (1 << 29) - 1) > size:
                raise InputError(f'{path}: its last record, at byte {max(offsets)}, is truncated or damaged; '
                                 f'prepare or copy the file again')
    return np.asarray(offsets, dtype=np.int64)


def _read_classes(folder):
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text())['classes']
    except (ValueError, KeyError):
        raise InputError(f'{path}: not a manifest; prepare the data again') from None
