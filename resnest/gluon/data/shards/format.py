"""The format of RecordIO shards, and where their records start: MXNet's ``.rec`` and ``.idx`` files.

A record is ``magic, flag (3 bits) and length (29 bits), data, padding to 4 bytes``; its data start with
the header ``flag, label, id, id2`` of mxnet.recordio and go on with an encoded image. ``.idx`` has a
line ``key<TAB>offset`` a record.
"""
import contextlib
import os
import struct
import tempfile
from pathlib import Path

import numpy as np

from resnest.errors import InputError

__all__ = ['HEADER', 'LENGTH', 'LENGTH_BITS', 'MAGIC', 'damaged', 'read_index', 'walk']

MAGIC = 0xced7230a
LENGTH_BITS = 29
LENGTH = (1 << LENGTH_BITS) - 1
HEADER = struct.Struct('<IfQQ')         # flag (number of extra labels), label, id, id2


def damaged(path, number, offset):
    """The InputError for a record that cannot be read."""
    return InputError(f'{path}: record {number} at byte {offset} is truncated or damaged; prepare or copy the file '
                      f'again')


def walk(path, start=0, number=0):
    """Yield the offsets of the records by their own headers, from record ``number`` at byte ``start`` on; raises
    InputError for one that is damaged or goes beyond the file's end."""
    offset, size = start, path.stat().st_size
    with open(path, 'rb') as opened:
        while offset < size:
            opened.seek(offset)
            head = opened.read(8)
            magic, word = struct.unpack('<II', head) if len(head) == 8 else (None, 0)
            end = offset + 8 + ((word & LENGTH) + 3) // 4 * 4
            flag = word >> LENGTH_BITS
            if magic != MAGIC or end > size:
                raise damaged(path, number - (flag in (2, 3)), offset)
            if flag in (0, 1):        # whole, or the first of the parts of a cut record
                yield offset
                number += 1
            offset = end


def read_index(path):
    """Offsets of the records of a shard, in the order of the index, checked against the file; an index that is
    missing is made anew."""
    index = path.with_suffix('.idx')
    if not index.is_file():
        return _rebuild(path, index)
    try:
        offsets = np.array([line.split('\t')[1] for line in index.read_text().splitlines()], dtype=np.int64)
    except (IndexError, ValueError):
        raise InputError(f'{index}: not an index of record offsets; remove it, and it is made anew') from None
    size = path.stat().st_size
    beyond = np.flatnonzero((offsets + 8 >= size) | (offsets < 0))
    if len(beyond):
        raise InputError(f'{path}: truncated: it has {size} bytes, but record {beyond[0]} starts at byte '
                         f'{offsets[beyond[0]]}; prepare or copy the file again')
    last, number = (int(offsets.max()), int(offsets.argmax())) if len(offsets) else (0, 0)
    if list(walk(path, last, number)) != [last] * bool(len(offsets)):
        raise InputError(f'{index}: lists fewer records than {path.name} holds; remove it, and it is made anew')
    return offsets


def _rebuild(path, index):
    """Offsets from the records themselves; kept beside the shard where that can be written."""
    offsets = list(walk(path))
    # Every rank of a job may do this at once: each in a place of its own.
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=index.parent, prefix='.index-') as own:
        part = Path(own, index.name)
        part.write_text(''.join(f'{key}\t{offset}\n' for key, offset in enumerate(offsets)))
        os.replace(part, index)
    return np.array(offsets, dtype=np.int64)
