"""Arrays in one file, an ``.npz`` whose members are stored as they are; reading checks each number before it allocates.

``np.load`` would inflate what is compressed, evaluate headers as Python and make arrays as large as these say.
"""
import io
import math
import re
import zipfile

import numpy as np

from resnest.reading import ZIP_ERRORS, one_line

__all__ = ['Damaged', 'check_arrays', 'read_arrays', 'write_arrays']

TYPES = ('|u1', '|b1', '<i4', '<i8', '<f2', '<f4', '<f8')
# What numpy.lib.format writes for a C-contiguous array.
HEADER = re.compile(rb"\{'descr': '([<|]\w\d)', 'fortran_order': False, "
                    rb"'shape': \(((?:\d{1,18}, )*(?:\d{1,18},?)?)\), \} *\n")
MAGIC = b'\x93NUMPY\x01\x00'
LARGEST_DIRECTORY = 16 << 20    # bytes: some hundred thousand arrays


class Damaged(Exception):
    """It is no such file; the message is one line that says why, and names no file."""


def write_arrays(path, arrays):
    """Write ``{name: array}``; what ``np.savez`` does, which would leave the archive open where the disk is full."""
    with zipfile.ZipFile(path, 'w', allowZip64=True) as archive:
        for key, array in arrays.items():
            with archive.open(f'{key}.npy', 'w', force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def check_arrays(opened):
    """Raise :class:`Damaged` where an open file cannot hold arrays that fit into it; reads its directory alone."""
    _read(opened, lambda archive, member: None)


def read_arrays(data):
    """``{name: array}`` of a file's bytes; raises :class:`Damaged` for any other."""
    return _read(io.BytesIO(data), _array)


def _read(opened, read):
    try:
        source = _Bounded(opened)
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            source.most = source.size
            left = source.size
            for member in members:
                left -= member.file_size        # members may lie over each other
                if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 or left < 0 or \
                        not member.filename.endswith('.npy') or member.compress_size != member.file_size:
                    raise Damaged(f'{one_line(member.filename)} is not stored as it is')
            if len({member.filename for member in members}) < len(members):
                raise Damaged('two arrays have one name')
            return {member.filename[:-len('.npy')]: read(archive, member) for member in members}
    except (OSError, *ZIP_ERRORS) as error:
        raise Damaged(one_line(f'{type(error).__name__}: {error}')) from None


def _array(archive, member):
    with archive.open(member) as stored:
        magic, length = stored.read(len(MAGIC)), int.from_bytes(stored.read(2), 'little')
        header = HEADER.fullmatch(stored.read(length))
        if magic != MAGIC or not header or header[1].decode() not in TYPES:
            raise Damaged(f'{one_line(member.filename)} has no plain header')
        dtype, shape = np.dtype(header[1].decode()), tuple(int(side) for side in re.findall(rb'\d+', header[2]))
        size = member.file_size - len(MAGIC) - 2 - length
        if len(shape) > 32 or math.prod(shape) * dtype.itemsize != size:
            raise Damaged(f'{one_line(member.filename)} has {size} bytes, but its shape is {one_line(shape)}')
        return np.frombuffer(bytearray(stored.read()), dtype).reshape(shape)


class _Bounded:
    """A file for ``zipfile``, which reads as many bytes at once as the file itself says: here at most ``most``."""

    def __init__(self, opened):
        self.seek, self.tell, self.seekable, self._read = opened.seek, opened.tell, opened.seekable, opened.read
        self.most = LARGEST_DIRECTORY
        self.size = opened.seek(0, io.SEEK_END)

    def read(self, count=-1):
        count = min(count, self.size) if count >= 0 else self.size - self.tell()
        if count > self.most:
            raise Damaged('its directory is too large')
        return self._read(count)
