"""Reads ``.params`` files, as mxnet's ``nd.save`` and Gluon's ``save_parameters`` write them, with NumPy alone.

mxnet's own reader allocates what a damaged file asks for, and ends the process at some of them. This one compares
every number with the size of the file before it uses it. The format is that of ``NDArray::Save`` and
``NDArray::Load`` in https://github.com/apache/mxnet/blob/v1.9.x/src/ndarray/ndarray.cc.
"""
import math
import os
import struct

import numpy as np

from resnest.errors import InputError
from resnest.reading import one_line, open_plain

__all__ = ['BFLOAT16', 'MAGIC', 'read_arrays', 'read_shapes']

MAGIC = 0x112                                   # of a list of arrays
V1, V2, V3 = 0xf993fac8, 0xf993fac9, 0xf993faca     # of an array; before V1 the number of sides stood in its place
LARGEST = 4 << 30       # bytes of a file; the largest published one has 0.45 GB
MOST_ARRAYS = 1 << 20
MOST_SIDES = 32         # of a NumPy array
LONGEST_NAME = 1 << 12  # bytes
DEVICES = (1, 2, 3, 5)  # CPU, GPU, pinned and shared memory: where the array was, not where it is read to

# bfloat16 is the upper half of a float32; NumPy has no type for it, and mxnet takes this one.
BFLOAT16 = np.dtype([('bfloat16', '<u2')])
DTYPES = {0: '<f4', 1: '<f8', 2: '<f2', 3: 'u1', 4: '<i4', 5: 'i1', 6: '<i8', 7: '?', 12: BFLOAT16}


def read_arrays(path, most=LARGEST):
    """The arrays of a ``.params`` file by the names in it: ``{name: array}``, in the file's order.

    The arrays have the types that were written; bfloat16 is :data:`BFLOAT16`. ``mx.nd.array(array,
    dtype=array.dtype)`` makes mxnet's arrays of them, of every type.

    Raises InputError, that names the file, for what is no plain file, is larger than ``most`` bytes, truncated or
    damaged, or holds arrays without names, sparse ones, or ones with a side of zero.
    """
    return _read(path, most, _array)


def read_shapes(path, most=LARGEST):
    """The shapes of the arrays by their names; of the arrays themselves nothing is read. Raises as read_arrays."""
    return _read(path, most, lambda opened, offset, dtype, shape: shape)


def _read(path, most, take):
    with open_plain(path) as opened:
        size = os.fstat(opened.fileno()).st_size
        try:
            if size > most:
                raise _Damaged(f'it has {size} bytes, but such a file has at most {most}')
            places, names = _directory(_Source(opened, size))
            return {name: take(opened, *place) for name, place in zip(names, places)}
        except _Damaged as error:
            raise InputError(f'{one_line(path)}: not a parameter file, or a truncated one ({error})') from None
        except OSError as error:
            raise InputError(f'{one_line(path)}: cannot be read: {error.strerror}') from None


class _Damaged(Exception):
    """What is wrong with a file."""


class _Source:
    """An open file of which no more is read than is there."""

    def __init__(self, opened, size):
        self.opened, self.left = opened, size

    def take(self, count):
        self.skip(count, seek=False)
        data = self.opened.read(count)
        if len(data) < count:
            raise _Damaged('it became shorter')
        return data

    def skip(self, count, seek=True):
        if count > self.left:
            raise _Damaged(f'{count} bytes are wanted, {self.left} are left')
        self.left -= count
        if seek:
            self.opened.seek(count, os.SEEK_CUR)

    def numbers(self, kinds):
        return struct.unpack(f'<{kinds}', self.take(struct.calcsize(f'<{kinds}')))

    def number(self, kind):
        return self.numbers(kind)[0]


def _directory(source):
    """Where the arrays lie, ``[(offset, dtype, shape)]``, and their names; nothing of the arrays is read."""
    magic, _, count = source.numbers('QQQ')
    if magic != MAGIC:
        raise _Damaged('it begins otherwise')
    if count > MOST_ARRAYS:
        raise _Damaged(f'{count} arrays')
    places = [_place(source) for _ in range(count)]
    named = source.number('Q')
    if named != count:
        raise _Damaged(f'{count} arrays, {named} names; save it with net.save_parameters')
    names = [_name(source) for _ in range(count)]
    if len(set(names)) < count:
        raise _Damaged('a name stands there twice')
    if source.left:
        raise _Damaged(f'{source.left} bytes behind its end')
    return places, names


def _place(source):
    magic = source.number('I')
    if magic in (V2, V3) and source.number('i') != 0:
        raise _Damaged('a sparse array')
    sides, kind = (source.number('i'), 'q') if magic in (V1, V2, V3) else (magic, 'I')
    if not (magic != V3) <= sides <= MOST_SIDES:        # since V3 an array may be a single number, with no side
        raise _Damaged(f'an array of {sides} sides')
    shape = source.numbers(f'{sides}{kind}')
    device, _, flag = source.numbers('iii')
    if min(shape, default=1) < 1 or device not in DEVICES or flag not in DTYPES:
        raise _Damaged(f'an array of shape {shape}, type {flag} and device {device}')
    dtype, offset = np.dtype(DTYPES[flag]), source.opened.tell()
    source.skip(math.prod(shape) * dtype.itemsize)
    return offset, dtype, shape


def _name(source):
    length = source.number('Q')
    if length > LONGEST_NAME:
        raise _Damaged(f'a name of {length} bytes')
    try:
        return source.take(length).decode()
    except UnicodeDecodeError:
        raise _Damaged('a name that is not UTF-8') from None


def _array(opened, offset, dtype, shape):
    data = np.empty(math.prod(shape) * dtype.itemsize, np.uint8)
    opened.seek(offset)
    if opened.readinto(data) < len(data):
        raise _Damaged('it became shorter')
    return data.view(dtype).reshape(shape)
