"""The records of RecordIO shards as one sequence; their format is told in :mod:`.format`."""
import bisect
import math
import os
import struct

import numpy as np

from resnest.errors import InputError

from .format import HEADER, LENGTH, LENGTH_BITS, MAGIC, damaged, read_index
from .manifest import find_shards

__all__ = ['RecordSet']


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
        self._offsets = [read_index(path) for path in self.files]
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
        return f'{self.files[shard]}, record {local} at byte {self._offsets[shard][local]}'

    def count_classes(self):
        """One more than the largest label; reads the head of every record."""
        most = 0
        for index in range(len(self)):
            shard, local = self._place(index)
            head = os.pread(self._descriptors[shard], 8 + HEADER.size, self._offsets[shard][local])[8:]
            flag, label, _, _ = HEADER.unpack_from(head) if len(head) >= HEADER.size else (1, 0, 0, 0)
            whole = not flag and math.isfinite(label)
            most = max(most, int(label) if whole else self[index][1])
        return most + 1

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
                raise damaged(self.files[shard], local, self._offsets[shard][local])
            parts.append(data)
            if flag in (0, 3):      # whole, or the last part; the writer cuts data where they hold the magic
                break
            offset += 8 + (length + 3) // 4 * 4
        whole = struct.pack('<I', MAGIC).join(parts)
        if len(whole) < HEADER.size:
            raise InputError(f'{self.files[shard]}: record {local} at byte {self._offsets[shard][local]} has no image '
                             f'header; prepare the file again')
        return whole

    def __del__(self):
        for descriptor in getattr(self, '_descriptors', ()):
            os.close(descriptor)
