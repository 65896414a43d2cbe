"""Reads the files of ``torch.save`` with NumPy alone: the zip archives, and the plain pickles it wrote before 1.6, as
the ResNeSt project's ``.pth`` files are; and pickles of NumPy's arrays, as Detectron2's ``.pkl`` files are."""
import io
import math
import zipfile

import numpy as np

from resnest.errors import InputError
from resnest.reading import ZIP_ERRORS, one_line

from .numpy_pickles import PickledArray, to_arrays
from .params_file import BFLOAT16
from .torch_pickles import LARGEST, STORAGES, Tensor, read_pickle

__all__ = ['LEGACY', 'PICKLES', 'ZIP', 'read_array_pickle', 'read_legacy', 'read_zip', 'without_bfloat16']

# How the files begin: a plain pickle of torch's with one that holds a number alone.
ZIP, LEGACY = b'PK\x03\x04', b'\x80\x02\x8a\x0a'
PICKLES = tuple(bytes([0x80, protocol]) for protocol in (2, 3, 4, 5))
WRAPPINGS = ('state_dict', 'model')
PLAIN = (type(None), bool, int, float, str)     # what pickles of arrays hold besides; NumPy's scalars are read as None
LEGACY_MAGIC = 0x1950a86a20f9469cfc6c


def read_zip(opened, size):
    """The tensors ``{name: array}`` of an archive, open at its beginning, of ``size`` bytes; raises InputError."""
    try:
        with zipfile.ZipFile(opened) as archive:
            return _from_archive(archive, size)
    except InputError:
        raise
    except (KeyError, OSError, *ZIP_ERRORS) as error:
        raise InputError(f'truncated or damaged ({type(error).__name__}: {one_line(error)})') from None


def read_legacy(opened, size):
    """The tensors ``{name: array}`` of a plain pickle, open at its beginning, of ``size`` bytes; raises InputError."""
    if read_pickle(opened)[0] != LEGACY_MAGIC:
        raise InputError('a pickle, but not one of torch.save')
    _, (machine, _) = read_pickle(opened), read_pickle(opened)      # the protocol's version, and the machine
    if not isinstance(machine, dict) or machine.get('little_endian') is not True:
        raise InputError('written on a big-endian machine')
    (whole, storages), (keys, _) = read_pickle(opened), read_pickle(opened)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != storages.keys():
        raise InputError('damaged: its storages are others than its tensors tell')
    found, tensors = {}, _state_dict(whole)
    for key in keys:        # one after another: the number of elements, then these
        storage, count = storages[key], int.from_bytes(opened.read(8), 'little')
        if count != storage.count:
            raise InputError('truncated or damaged: a storage has another size than its tensors tell')
        data = opened.read(min(count * np.dtype(STORAGES[storage.kind]).itemsize, size))
        found[key] = _elements(storage, data)
    return _arrays(tensors, found, size)


def read_array_pickle(opened, size):
    """The arrays ``{name: array}`` of a pickle without tensors, open at its beginning; plain values beside them are
    passed over. Raises InputError."""
    whole = _unwrapped(read_pickle(opened, size)[0])
    if isinstance(whole, dict):
        whole = {name: item for name, item in whole.items() if not isinstance(item, PLAIN)}
    if not _is_named(whole, PickledArray):
        raise InputError('a pickle, but not one of torch.save, nor of arrays by their names')
    try:
        return to_arrays(_bare(whole), size)
    except ValueError as error:
        raise InputError(f'damaged: {error}') from None


def _from_archive(archive, size):
    members = {member.filename: member for member in archive.infolist()}
    pickled = [name for name in members if name == 'data.pkl' or name.endswith('/data.pkl')]
    if len(pickled) != 1:
        raise InputError('a zip archive, but not one of torch.save; give the .pth file itself')
    folder = pickled[0][:-len('data.pkl')]

    def read(name, most):
        member = members[f'{folder}{name}']
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > most:
            raise InputError(f'damaged: {one_line(name)} is compressed, or too large')
        return archive.read(member)

    if f'{folder}byteorder' in members and read('byteorder', 100) != b'little':
        raise InputError('written on a big-endian machine')
    whole, _ = read_pickle(io.BytesIO(read('data.pkl', LARGEST)))
    tensors, found, left = _state_dict(whole), {}, size
    for storage in {tensor.storage for tensor in tensors.values()}:
        data = read(f'data/{storage.key}', left)
        left -= len(data)       # members may lie over each other: together they are no more than the file
        found[storage.key] = _elements(storage, data)
    return _arrays(tensors, found, size)


def _elements(storage, data):
    """The elements of a storage; bfloat16 as float32."""
    dtype = np.dtype(STORAGES[storage.kind])
    if len(data) < storage.count * dtype.itemsize:
        raise InputError('truncated or damaged: a storage is shorter than its tensors tell')
    return without_bfloat16(np.frombuffer(data, dtype, storage.count))


def _state_dict(whole):
    """The tensors of what was pickled, without the wrapping."""
    whole = _unwrapped(whole)
    if not _is_named(whole, Tensor):
        raise InputError('holds no state_dict; save net.state_dict() alone')
    return _bare(whole)


def _unwrapped(whole):
    for key in WRAPPINGS:
        if isinstance(whole, dict) and isinstance(whole.get(key), dict):
            whole = whole[key]
    return whole


def _is_named(whole, kind):
    """Whether it is a dict of such items by their names, at least one."""
    return bool(isinstance(whole, dict) and whole) and all(
        isinstance(name, str) and isinstance(item, kind) for name, item in whole.items())


def _bare(named):
    """The items without the prefix that a network in several processes gives to all names."""
    if all(name.startswith('module.') for name in named):
        return {name[len('module.'):]: item for name, item in named.items()}
    return named


def _arrays(tensors, storages, size):
    """Views of the storages ``{key: array}``; together they may not be larger than the file of ``size`` bytes."""
    if sum(math.prod(tensor.shape) for tensor in tensors.values()) > size:
        raise InputError('damaged: its tensors are larger than the file')
    return {name: _array(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _array(tensor, storage):
    """A view of the storage with the tensor's strides, which must not reach beyond it."""
    if not all(tensor.shape):
        return np.zeros(tensor.shape, np.float32)
    if tensor.offset + sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides)) >= len(storage):
        raise InputError('damaged: a tensor reaches beyond its storage')
    return np.lib.stride_tricks.as_strided(storage[tensor.offset:], tensor.shape,
                                           [stride * storage.itemsize for stride in tensor.strides])


def without_bfloat16(array):
    """The array; one of bfloat16 as float32."""
    return (array['bfloat16'].astype('<u4') << 16).view('<f4') if array.dtype == BFLOAT16 else array
