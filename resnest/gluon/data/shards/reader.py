"""The records of RecordIO shards as one sequence; their format is told in :mod:`.format`."""
import bisect
import os
import resource
import struct
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import accumulate

from resnest.errors import InputError
from resnest.reading import one_line, open_plain

from .format import HEADER, LENGTH, MAGIC, damaged, read_at, read_index, split_head
from .manifest import find_shards

__all__ = ['RecordSet']

AT_ONCE = 1 << 20                   # bytes of a record that are read before its head tells its length
LARGEST_LABEL = 1 << 24             # up to which float32 holds every whole number


class RecordSet(AbstractContextManager):
    """The records of a folder of shards, of one ``.rec`` file, or of a pattern, as one sequence.

    ``records[i]`` is ``(encoded image: bytes, label: int)``. Files are read by offset with ``pread``: any
    number of threads may read, and forked processes too. Only the offsets are held in memory. The files that were
    read last stay open, up to a third of those that the process may still open. ``close()``,
    or leaving the context, closes them; so does losing the set.

    Parameters
    ----------
    source : str or Path
        In a folder, the shards that its manifest lists; without a manifest, those that bear the split's name
        (``train-*.rec``, ``train.rec``, ``train_*.rec``, ``*_train.rec``), or the single one of no split's name.
    split : str
        ``'train'`` or ``'val'``.
    part : (int, int)
        ``(i, n)`` takes every n-th shard that is there from the i-th on: the share of one of n ranks of a
        machine, which may hold only some of the shards.

    ``classes`` are the class names of the manifest, None without one; ``decoding`` is the rule by which the images are
    read (:mod:`..images.decoding`), that of the manifest, ``'stored'`` without one. Raises InputError for what is
    missing, empty, truncated or damaged; the message names the file and the record. Opening a set reads its indices and
    the heads of the last records; a record that does not end where the index has the next one start is refused when it
    is read.
    """

    def __init__(self, source, split, part=None):
        self._told = one_line(source), split
        found, self.classes, self.decoding = find_shards(source, split, partial=part is not None)
        if part and not found[part[0]::part[1]]:
            raise InputError(f'{one_line(source)}: fewer than {part[1]} shards for {part[1]} ranks; prepare the data '
                             f'with more (--num-shards), or use --sharding global')
        found = found[part[0]::part[1]] if part else found
        self.files = [path for path, _ in found]
        self._offsets, self._sizes = zip(*map(read_index, self.files)) if found else ((), ())
        for (path, records), offsets in zip(found, self._offsets):
            if records not in (None, len(offsets)):
                raise InputError(f'{one_line(path)}: {len(offsets)} records, but the manifest says {records}; remove '
                                 f'its .idx, which is then made anew, or copy the file again')
        self._ends = list(accumulate(map(len, self._offsets)))
        if not any(self._ends):
            raise InputError(f'{one_line(source)}: no records; prepare the data again')
        self._opened = _opener(self.files, self._sizes)

    def close(self):
        """Close the files; no record can be read any more."""
        if self._opened:
            self._opened.cache_clear()
        self._opened = None

    def __exit__(self, *_):
        self.close()

    def __getstate__(self):
        return {**self.__dict__, '_opened': bool(self._opened)}

    def __setstate__(self, state):
        """Another process opens the files again."""
        self.__dict__.update(state)
        self._opened = _opener(self.files, self._sizes) if state['_opened'] else None

    def __len__(self):
        return self._ends[-1]

    def __repr__(self):
        source, split = self._told
        return (f"RecordSet('{source}', '{split}', records={len(self)}, shards={len(self.files)}, "
                f"classes={self.classes and len(self.classes)}, decoding='{self.decoding}')")

    def __getitem__(self, index):
        shard, local = self._place(index)
        data = self._read(shard, local)
        flag, label, _, _ = HEADER.unpack_from(data)
        if flag and len(data) >= HEADER.size + 4 * flag:
            label, = struct.unpack_from('<f', data, HEADER.size)
        if len(data) < HEADER.size + 4 * flag or not abs(label) <= LARGEST_LABEL or label != int(label):
            raise InputError(f'{self.where(index)}: its label ({label}) is no class number; prepare the data again')
        return data[HEADER.size + 4 * flag:], int(label)

    def where(self, index):
        """File and place of a record, for messages."""
        shard, local = self._place(index)
        return f'{one_line(self.files[shard])}, record {local} at byte {self._offsets[shard][local]}'

    def count_classes(self):
        """One more than the largest label; reads the head of every record."""
        most = 0
        for index in range(len(self)):
            shard, local = self._place(index)
            head = self._pread(shard, 8 + HEADER.size, int(self._offsets[shard][local]))[8:]
            flag, label, _, _ = HEADER.unpack_from(head) if len(head) >= HEADER.size else (1, 0, 0, 0)
            whole = not flag and 0 <= label <= LARGEST_LABEL
            most = max(most, int(label) if whole else self[index][1])
        return most + 1

    def _place(self, index):
        """Number of the shard and of the record in it."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        shard = bisect.bisect_right(self._ends, index)
        return shard, index - (self._ends[shard - 1] if shard else 0)

    def _pread(self, shard, size, offset):
        opener = self._opened
        if opener is None:
            raise RuntimeError('the set of records is closed')
        opened = opener(shard)      # held until the read is done: it may become the oldest one meanwhile
        return read_at(opened.descriptor, size, offset, self.files[shard])

    def _read(self, shard, local):
        """The data of a record, which fill the place up to the next one; nothing beyond is read, or allocated."""
        path, offsets = self.files[shard], self._offsets[shard]
        offset = start = int(offsets[local])
        end = int(offsets[local + 1]) if local + 1 < len(offsets) else self._sizes[shard]
        parts, flag, left = [], None, LENGTH
        place = memoryview(self._pread(shard, end - start if end - start <= AT_ONCE else 8, start))

        def read(size, offset):
            inside = place[offset - start:offset - start + size]
            return inside if len(inside) == size else self._pread(shard, size, offset)

        while not parts or flag in (1, 2):
            flag, length = split_head(read(8, offset), not parts) or (None, 0)
            after, left = offset + 8 + (length + 3) // 4 * 4, left - length
            if flag is None or left < 0 or after > end:
                raise damaged(path, local, start)
            parts.append(read(length, offset + 8))
            if len(parts[-1]) < length:
                raise damaged(path, local, start)
            offset = after
        if offset != end:
            raise InputError(f'{one_line(path)}: record {local} at byte {start} ends at byte {offset}, but its .idx '
                             f'has the next one start at byte {end}; remove the .idx, which is then made anew')
        whole = struct.pack('<I', MAGIC).join(parts)
        if len(whole) < HEADER.size:
            raise InputError(f'{one_line(path)}: record {local} at byte {start} has no image header; prepare the file '
                             f'again')
        return whole


def _opener(files, sizes):
    """A function from the number of a shard to its open file, which keeps the last ones open.

    ``lru_cache`` holds no lock while it calls, which a fork could leave locked, and a file that falls out of it is
    closed when the last thread that reads from it lets it go.
    """
    paths = [os.path.abspath(path) for path in files]
    return lru_cache(_most_open())(lambda shard: _Opened(paths[shard], sizes[shard]))


def _most_open():
    """How many files a set may have open: a third of those that are left, since there may be a second set. The limit is
    not raised: it is the whole process's, where others may count on numbers below it (select)."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return None
    return max(1, (allowed - len(os.listdir('/dev/fd'))) // 3)


class _Opened:
    """A file that is open as long as somebody holds this."""

    descriptor = None

    def __init__(self, path, size):
        with open_plain(path) as opened:
            self.descriptor = os.dup(opened.fileno())
        if os.fstat(self.descriptor).st_size != size:
            raise InputError(f'{one_line(path)}: has changed while it was in use; start again')

    def __del__(self):
        if self.descriptor is not None:
            os.close(self.descriptor)
