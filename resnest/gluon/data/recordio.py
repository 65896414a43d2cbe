"""RecordIO shards: MXNet's ``.rec`` and ``.idx`` files with a ``manifest.json`` beside them.

A record is ``magic, flag (3 bits) and length (29 bits), data, padding to 4 bytes``; its data start with
the header ``flag, label, id, id2`` of mxnet.recordio and go on with an encoded image. ``.idx`` has a
line ``key<TAB>offset`` a record.
"""
import bisect
import contextlib
import math
import os
import struct

import numpy as np

from resnest.errors import InputError
from resnest.files import replace_file

from .shard_files import find_shards

__all__ = ['RecordSet']

MAGIC = 0xced7230a
LENGTH_BITS = 29
LENGTH = (1 << LENGTH_BITS) - 1
HEADER = struct.Struct('<IfQQ')         # flag (number of extra labels), label, id, id2


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
    part : (int, int)
        ``(i, n)`` takes every n-th shard that is there from the i-th on: the share of one of n workers of a
        machine, which may hold only some of the shards.

    ``classes`` are the class names of the manifest, None without one. Raises InputError for what is missing,
    empty, truncated or damaged; the message names the file and the record.
    """

    def __init__(self, source, split, part=None):
        files, self.classes = find_shards(source, split, partial=part is not None)
        self.files = files[part[0]::part[1]] if part else files
        if not self.files:
            raise InputError(f'{source}: fewer than {part[1]} shards for {part[1]} workers; prepare the data with more '
                             f'(--num-shards), or use --sharding global')
        self._offsets = [_read_index(path) for path in self.files]
        self._ends = np.cumsum([len(offsets) for offsets in self._offsets]).tolist()
        self._descriptors = [os.open(path, os.O_RDONLY) for path in self.files]
        if not self._ends[-1]:
            raise InputError(f'{source}: no records; prepare the data again')

    def __len__(self):
        return self._ends[-1]

    def __getitem__(self, index):
        shard, local = self._place(index)
        data = self._read(shard, local)
        flag, label, _, _ = HEADER.unpack_from(data)
        if flag and len(data) >= HEADER.size + 4 * flag:
            label, = struct.unpack_from('<f', data, HEADER.size)
        if len(data) < HEADER.size + 4 * flag or not math.isfinite(label) or label != int(label):
            raise InputError(f'{self.where(index)}: its label ({label}) is no class number; prepare the data again')
        return data[HEADER.size + 4 * flag:], int(label)

    def where(self, index):
        """File and place of a record, for messages."""
        shard, local = self._place(index)
        return f'{self.files[shard]}, record {local}'

    def _place(self, index):
        """Number of the shard and of the record in it."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        shard = bisect.bisect_right(self._ends, index)
        return shard, index - (self._ends[shard - 1] if shard else 0)

    def _read(self, shard, local):
        offset = self._offsets[shard][local]
        parts = []
        while True:
            head = os.pread(self._descriptors[shard], 8, offset)
            magic, word = struct.unpack('<II', head) if len(head) == 8 else (None, 0)
            flag, length = word >> LENGTH_BITS, word & LENGTH
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


def _read_index(path):
    """Offsets of the records of a shard, in the order of the index, checked against the file's size."""
    index = path.with_suffix('.idx')
    if not index.is_file():
        return _rebuild_index(path, index)
    try:
        offsets = np.array([line.split('\t')[1] for line in index.read_text().splitlines()], dtype=np.int64)
    except (IndexError, ValueError):
        raise InputError(f'{index}: not an index of record offsets; remove it, and it is made anew') from None
    size = path.stat().st_size
    beyond = np.flatnonzero((offsets + 8 >= size) | (offsets < 0))
    if len(beyond):
        raise InputError(f'{path}: truncated: it has {size} bytes, but record {beyond[0]} starts at byte '
                         f'{offsets[beyond[0]]}; prepare or copy the file again')
    last = int(offsets.max()) if len(offsets) else 0
    if list(_walk(path, last)) != [last] * bool(len(offsets)):
        raise InputError(f'{index}: lists fewer records than {path.name} holds; remove it, and it is made anew')
    return offsets


def _walk(path, start=0):
    """Offsets of the records from byte ``start`` on, by their own headers."""
    offset, size = start, path.stat().st_size
    with open(path, 'rb') as opened:
        while offset < size:
            opened.seek(offset)
            head = opened.read(8)
            magic, word = struct.unpack('<II', head) if len(head) == 8 else (None, 0)
            end = offset + 8 + ((word & LENGTH) + 3) // 4 * 4
            if magic != MAGIC or end > size:
                raise InputError(f'{path}: the record at byte {offset} is truncated or damaged; '
                                 f'prepare or copy the file again')
            if word >> LENGTH_BITS in (0, 1):        # whole, or the first of the parts of a cut record
                yield offset
            offset = end


def _rebuild_index(path, index):
    """Offsets from the records themselves; kept beside the shard where that can be written."""
    offsets = list(_walk(path))
    with contextlib.suppress(OSError):      # a folder that cannot be written to
        replace_file(index, ''.join(f'{key}\t{offset}\n' for key, offset in enumerate(offsets)))
    return np.array(offsets, dtype=np.int64)
