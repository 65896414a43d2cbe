"""The format of RecordIO shards, and where their records start: MXNet's ``.rec`` and ``.idx`` files.

A record is ``magic, flag (3 bits) and length (29 bits), data, padding to 4 bytes``; its data start with
the header ``flag, label, id, id2`` of mxnet.recordio and go on with an encoded image. ``.idx`` has a
line ``key<TAB>offset`` for each record, in the order of the records.

What opening a shard checks costs one pass over its index and the head of its last record; whether each record ends
where the next one starts shows when it is read (:mod:`.reader`), at no cost.
"""
import contextlib
import io
import itertools
import os
import struct
import tempfile
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.reading import one_line, open_plain, read_bytes

__all__ = ['HEADER', 'LENGTH', 'LENGTH_BITS', 'MAGIC', 'damaged', 'read_at', 'read_index', 'split_head', 'walk']

MAGIC = 0xced7230a
LENGTH_BITS = 29
LENGTH = (1 << LENGTH_BITS) - 1
HEADER = struct.Struct('<IfQQ')         # flag (number of extra labels), label, id, id2
LARGEST_INDEX = 512 << 20               # bytes; some twenty million records


def damaged(path, number, offset):
    """The InputError for a record that cannot be read."""
    return InputError(f'{one_line(path)}: record {number} at byte {offset} is truncated or damaged; prepare or copy '
                      f'the file and its .idx again')


def split_head(head, first):
    """``(flag, length)`` of the 8 bytes before data, None for what is no such head.

    ``first`` says whether it must begin a record or go on with one: the writer cuts data where they hold the magic
    number, into parts with the flags 1 (the first), 2 and 3 (the last); whole data have the flag 0.
    """
    magic, word = struct.unpack('<II', head) if len(head) == 8 else (None, 0)
    flag, length = word >> LENGTH_BITS, word & LENGTH
    return (flag, length) if magic == MAGIC and flag in ((0, 1) if first else (2, 3)) else None


def read_at(descriptor, size, offset, path):
    """As os.pread; raises InputError that names ``path`` where the disk or the network fails."""
    try:
        return os.pread(descriptor, size, offset)
    except OSError as error:
        raise InputError(f'{one_line(path)}: cannot be read at byte {offset}: {error.strerror}') from None


def walk(path, start=0, number=0):
    """Yield the offsets of the records by their own heads, from record ``number`` at byte ``start`` on; raises
    InputError for one that is damaged or goes beyond the file's end."""
    with open_plain(path) as opened:
        size = os.fstat(opened.fileno()).st_size
        offset = start
        while offset < size:
            record, first, flag = offset, True, None
            while first or flag in (1, 2):
                flag, length = split_head(read_at(opened.fileno(), 8, offset, path), first) or (None, 0)
                offset, first = offset + 8 + (length + 3) // 4 * 4, False
                if flag is None or offset > size:
                    raise damaged(path, number, record)
            yield record
            number += 1


def read_index(path):
    """Offsets of the records of a shard, int64 in ascending order, and its size in bytes.

    An index that is missing is made anew. Raises InputError for an index that is not that of the file: the records
    start at byte 0, the last one ends at the end of the file, and each offset is a multiple of 4 above the one before.
    """
    index = path.with_suffix('.idx')
    if index == path:
        raise InputError(f'{one_line(path)}: an index; give the .rec file beside it')
    with open_plain(path) as opened:
        size = os.fstat(opened.fileno()).st_size
    if not os.path.lexists(index):
        return _rebuild(path, index), size
    anew = f'remove {one_line(index.name)}, and it is made anew'
    lines = io.BytesIO(read_bytes(index, min(LARGEST_INDEX, 4096 + 2 * size)))      # a record has 32 bytes or more
    try:
        offsets = np.fromiter((int(line.split(b'\t')[1]) for line in lines), dtype=np.int64)
    except (IndexError, ValueError, OverflowError):
        raise InputError(f'{one_line(index)}: not an index of record offsets; {anew}') from None
    beyond = np.flatnonzero(offsets >= size - 8)
    if len(beyond):
        raise InputError(f'{one_line(path)}: truncated: it has {size} bytes, but record {beyond[0]} starts at byte '
                         f'{offsets[beyond[0]]}; prepare or copy the file again')
    if len(offsets) and (offsets[0] or (np.diff(offsets) < 8).any() or (offsets % 4).any()):
        raise InputError(f'{one_line(index)}: its offsets are not those of records, one after the other; {anew}')
    last = offsets[-1:].tolist()
    if list(itertools.islice(walk(path, *last or [0], max(0, len(offsets) - 1)), 2)) != last:
        raise InputError(f'{one_line(index)}: lists fewer records than {one_line(path.name)} holds; {anew}')
    return offsets, size


def _rebuild(path, index):
    """Offsets from the records themselves; kept beside the shard where that can be written."""
    offsets = list(walk(path))
    # Every rank of a job may do this at once: each in a place of its own.
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=index.parent, prefix='.index-') as own:
        part = Path(own, index.name)
        part.write_text(''.join(f'{key}\t{offset}\n' for key, offset in enumerate(offsets)))
        os.replace(part, index)
    return np.array(offsets, dtype=np.int64)
