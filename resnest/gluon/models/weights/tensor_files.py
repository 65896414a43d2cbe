"""Reads PyTorch and safetensors files, and writes safetensors, with NumPy alone: no torch, and no code of the file's.

safetensors: https://github.com/huggingface/safetensors#format. PyTorch: the zip archives of torch.save and the
plain pickles it wrote before 1.6, as the ResNeSt project's ``.pth`` files are. Their pickles may name tensors,
storages and OrderedDict; anything else is refused, as ``torch.load(weights_only=True)`` does.
"""
import collections
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnest.errors import InputError

__all__ = ['read_tensors', 'safetensors_bytes']

# bfloat16 is the upper half of a float32; NumPy has no type for it.
BFLOAT16 = np.dtype([('bfloat16', '<u2')])
SAFETENSORS = {'F64': '<f8', 'F32': '<f4', 'F16': '<f2', 'BF16': BFLOAT16, 'I64': '<i8', 'I32': '<i4', 'I16': '<i2',
               'I8': 'i1', 'U8': 'u1', 'BOOL': '?'}
STORAGES = {'DoubleStorage': '<f8', 'FloatStorage': '<f4', 'HalfStorage': '<f2', 'BFloat16Storage': BFLOAT16,
            'LongStorage': '<i8', 'IntStorage': '<i4', 'ShortStorage': '<i2', 'CharStorage': 'i1',
            'ByteStorage': 'u1', 'BoolStorage': '?'}
LEGACY_MAGIC = 0x1950a86a20f9469cfc6c


def read_tensors(path):
    """The tensors of a ``.safetensors`` or PyTorch file, told apart by their content: ``{name: array}``.

    A PyTorch file may hold them under ``state_dict`` or ``model``, and with ``module.`` before each name.
    bfloat16 comes as float32, other types as they are. Raises InputError for a file that is neither, is
    truncated, or holds other objects.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f'{path}: no such file')
    data = path.read_bytes()
    try:
        if data[8:9] == b'{':       # first: the eight bytes before it are a number, and may look like anything
            return _read_safetensors(data)
        if data[:4] == b'PK\x03\x04':
            return _state_dict(*_read_zip(data))
        if data[:2] == b'\x80\x02':
            return _state_dict(*_read_legacy(data))
    except InputError as error:
        raise InputError(f'{path}: {error}') from None
    except Exception as error:      # a damaged pickle can raise nearly anything
        raise InputError(f'{path}: truncated or damaged ({type(error).__name__}: {error})') from error
    raise InputError(f'{path}: neither a PyTorch file nor a safetensors file')


def safetensors_bytes(arrays):
    """The ``.safetensors`` file of float32 and int64 arrays."""
    codes = {np.dtype('<f4'): 'F32', np.dtype('<i8'): 'I64'}
    header, offset = {'__metadata__': {'format': 'pt'}}, 0
    for name, array in arrays.items():
        header[name] = {'dtype': codes[array.dtype], 'shape': array.shape,
                        'data_offsets': (offset, offset + array.nbytes)}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    return b''.join([struct.pack('<Q', len(text)), text, *(array.tobytes() for array in arrays.values())])


def _read_safetensors(data):
    length, = struct.unpack_from('<Q', data)
    header = json.loads(data[8:8 + length])
    header.pop('__metadata__', None)
    tensors, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]['data_offsets']):
        if entry['dtype'] not in SAFETENSORS:
            raise InputError(f'{name} is {entry["dtype"]}; convert it to a floating-point type first')
        dtype, (first, last) = np.dtype(SAFETENSORS[entry['dtype']]), entry['data_offsets']
        count = int(np.prod(entry['shape'], dtype=np.int64))
        if first != end or last - first != count * dtype.itemsize:
            raise InputError(f'damaged: {name} does not fill its place')
        tensors[name] = _plain(np.frombuffer(data, dtype, count, 8 + length + first).reshape(entry['shape']))
        end = last
    if 8 + length + end != len(data):
        raise InputError(f'truncated or damaged: {len(data)} bytes, its header tells of {8 + length + end}')
    return tensors


class _Tensor(NamedTuple):
    storage: tuple      # (key, its type's name, number of elements)
    offset: int         # elements, as the strides
    shape: tuple
    strides: tuple


class _Unpickler(pickle.Unpickler):
    """Knows tensors, storages and OrderedDict, and nothing else; ``kinds`` are the types of the storages by key."""

    def __init__(self, opened):
        super().__init__(opened)
        self.kinds = {}

    def find_class(self, module, name):
        if (module, name) == ('collections', 'OrderedDict'):
            return collections.OrderedDict
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return lambda storage, offset, shape, strides, *rest: _Tensor(storage, offset, shape, strides)
        if (module, name) == ('torch._utils', '_rebuild_parameter'):
            return lambda tensor, *rest: tensor
        if (module, name) == ('torch', 'Size'):
            return tuple
        if module == 'torch' and name in STORAGES:
            return name
        raise InputError(f'holds {module}.{name}, which is not a tensor; save the state_dict alone')

    def persistent_load(self, pid):
        what, kind, key, _, count, *view = pid
        if what != 'storage' or (view and view[0] is not None):
            raise InputError(f'holds a {what} of an unknown kind')
        self.kinds[key] = kind
        return key, kind, count


def _read_zip(data):
    archive = zipfile.ZipFile(io.BytesIO(data))
    pickled = [name for name in archive.namelist() if name == 'data.pkl' or name.endswith('/data.pkl')]
    if len(pickled) != 1:
        raise InputError('a zip archive, but not one of torch.save; give the .pth file itself')
    folder = pickled[0][:-len('data.pkl')]
    if f'{folder}byteorder' in archive.namelist() and archive.read(f'{folder}byteorder') != b'little':
        raise InputError('written on a big-endian machine')
    whole = _Unpickler(io.BytesIO(archive.read(pickled[0]))).load()

    def elements(key, kind, count):
        return np.frombuffer(archive.read(f'{folder}data/{key}'), STORAGES[kind], count)
    return whole, elements


def _read_legacy(data):
    opened = io.BytesIO(data)
    if _Unpickler(opened).load() != LEGACY_MAGIC:
        raise InputError('a pickle, but not one of torch.save')
    _Unpickler(opened).load()       # protocol version
    if not _Unpickler(opened).load()['little_endian']:
        raise InputError('written on a big-endian machine')
    unpickler = _Unpickler(opened)
    whole = unpickler.load()
    storages = {}
    for key in _Unpickler(opened).load():       # one after another: the number of elements, then these
        count, = struct.unpack('<q', opened.read(8))
        storages[key] = np.frombuffer(data, STORAGES[unpickler.kinds[key]], count, opened.tell())
        opened.seek(storages[key].nbytes, io.SEEK_CUR)
    return whole, lambda key, kind, count: storages[key]


def _state_dict(whole, elements):
    """The arrays of what was pickled, without the wrapping."""
    for key in ('state_dict', 'model'):
        if isinstance(whole, dict) and isinstance(whole.get(key), dict):
            whole = whole[key]
    if not isinstance(whole, dict) or not whole or not all(isinstance(item, _Tensor) for item in whole.values()):
        raise InputError('holds no state_dict; save net.state_dict() alone')
    if all(name.startswith('module.') for name in whole):
        whole = {name[len('module.'):]: value for name, value in whole.items()}
    return {name: _array(tensor, elements(*tensor.storage)) for name, tensor in whole.items()}


def _array(tensor, storage):
    """A view of the storage with the tensor's strides, which must not reach beyond it."""
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    reach = offset + sum((size - 1) * stride for size, stride in zip(shape, strides)) if all(shape) else -1
    if len(shape) != len(strides) or min((*shape, *strides, offset)) < 0 or reach >= len(storage):
        raise InputError('damaged: a tensor reaches beyond its storage')
    if not all(shape):
        return np.zeros(shape, np.float32)
    return _plain(np.lib.stride_tricks.as_strided(storage[offset:], shape,
                                                  [stride * storage.itemsize for stride in strides]))


def _plain(array):
    if array.dtype != BFLOAT16:
        return array
    return (array['bfloat16'].astype('<u4') << 16).view('<f4')
