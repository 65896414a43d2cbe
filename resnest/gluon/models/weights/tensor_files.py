"""Reads PyTorch and safetensors files, and writes safetensors, with NumPy alone: no torch, and no code of the file's.

safetensors: https://github.com/huggingface/safetensors#format.
"""
import json
import math
import os
import struct
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.reading import one_line, open_plain, parse_json

from .params_file import BFLOAT16, LARGEST, MOST_SIDES
from .torch_files import LEGACY, PICKLES, ZIP, read_array_pickle, read_legacy, read_zip, without_bfloat16

__all__ = ['read_metadata', 'read_tensors', 'safetensors_bytes']

SAFETENSORS = {'F64': '<f8', 'F32': '<f4', 'F16': '<f2', 'BF16': BFLOAT16, 'I64': '<i8', 'I32': '<i4', 'I16': '<i2',
               'I8': 'i1', 'U8': 'u1', 'BOOL': '?'}
LONGEST_HEADER = 8 << 20    # bytes; that of resnest269 has 0.2 MB


def read_tensors(path):
    """The tensors of a ``.safetensors`` or PyTorch file, or of a pickle of NumPy's arrays, told apart by their content:
    ``{name: array}``.

    The last two may hold them under ``state_dict`` or ``model``, and PyTorch's with ``module.`` before each name.
    bfloat16 comes as float32, other types as they are. Raises InputError for a file that is neither, is
    truncated, or holds other objects.
    """
    path = Path(os.path.expanduser(path))
    if not os.path.lexists(path):
        raise InputError(f'{one_line(path)}: no such file')
    with _opened(path) as (opened, size, head):
        if size > LARGEST:
            raise InputError(f'{size} bytes, but such a file has at most {LARGEST}')
        if head[8:] == b'{':        # first: the eight bytes before it are a number, and may look like anything
            return _read_safetensors(opened, size)
        if head.startswith(ZIP):
            return read_zip(opened, size)
        if head.startswith(LEGACY):
            return read_legacy(opened, size)
        if head.startswith(PICKLES):
            return read_array_pickle(opened, size)
        raise InputError('neither a PyTorch file nor a safetensors file')


def read_metadata(path):
    """What a ``.safetensors`` file tells beside its tensors, a dict of texts; empty for a file that is no such file.

    Raises InputError for one that is damaged or cannot be read.
    """
    with _opened(path) as (opened, size, head):
        found = _read_header(opened, size)[0].get('__metadata__') if head[8:] == b'{' else None
    return {name: text for name, text in found.items() if isinstance(text, str)} if isinstance(found, dict) else {}


def safetensors_bytes(arrays, **metadata):
    """The ``.safetensors`` file of float32 and int64 arrays, with texts beside them."""
    codes = {np.dtype('<f4'): 'F32', np.dtype('<i8'): 'I64'}
    header, offset = {'__metadata__': {'format': 'pt', **metadata}}, 0
    for name, array in arrays.items():
        header[name] = {'dtype': codes[array.dtype], 'shape': array.shape,
                        'data_offsets': (offset, offset + array.nbytes)}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    return b''.join([struct.pack('<Q', len(text)), text, *(array.tobytes() for array in arrays.values())])


@contextmanager
def _opened(path):
    """The open file, its size, and its first nine bytes; what is raised meanwhile names the path."""
    with open_plain(path) as opened:
        try:
            head = opened.read(9) or b''        # None: a file of /proc that would have us wait
            opened.seek(0)
            yield opened, os.fstat(opened.fileno()).st_size, head
        except InputError as error:
            raise InputError(f'{one_line(path)}: {error}') from None
        except OSError as error:
            raise InputError(f'{one_line(path)}: cannot be read: {error.strerror}') from None


def _read_header(opened, size):
    """``(header, its length in bytes)``."""
    length, = struct.unpack('<Q', opened.read(8))
    if not length <= min(LONGEST_HEADER, size - 8):
        raise InputError(f'truncated or damaged: a header of {length} bytes, the file has {size}')
    try:
        return parse_json(opened.read(length).decode(), 'truncated or damaged: the header'), length
    except UnicodeDecodeError:
        raise InputError('damaged: the header is not UTF-8') from None


def _read_safetensors(opened, size):
    header, length = _read_header(opened, size)
    header.pop('__metadata__', None)
    for name, entry in header.items():
        if not _fits(entry):
            raise InputError(f'damaged: the header tells {one_line(entry)} of {one_line(name)}')
    tensors, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]['data_offsets']):
        if entry['dtype'] not in SAFETENSORS:
            raise InputError(f'{one_line(name)} is {one_line(entry["dtype"])}; convert it to a floating-point type '
                             'first')
        dtype, (first, last) = np.dtype(SAFETENSORS[entry['dtype']]), entry['data_offsets']
        if first != end or last - first != math.prod(entry['shape']) * dtype.itemsize:
            raise InputError(f'damaged: {one_line(name)} does not fill its place')
        if 8 + length + last > size:
            break
        data = np.frombuffer(opened.read(last - first), dtype)
        tensors[name], end = without_bfloat16(data).reshape(entry['shape']), last
    if len(tensors) < len(header) or 8 + length + end != size:
        told = 8 + length + max((entry['data_offsets'][1] for entry in header.values()), default=0)
        raise InputError(f'truncated or damaged: {size} bytes, its header tells of {told}')
    return tensors


def _fits(entry):
    """Whether the header tells of a tensor what it should."""
    if not (isinstance(entry, dict) and isinstance(entry.get('dtype'), str) and
            all(isinstance(entry.get(key), list) and all(type(each) is int and each >= 0 for each in entry[key])
                for key in ('shape', 'data_offsets'))):
        return False
    return (len(entry['data_offsets']) == 2 and len(entry['shape']) <= MOST_SIDES and
            math.prod(max(side, 1) for side in entry['shape']) < 1 << 40)
