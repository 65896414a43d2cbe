"""Checkpoints: one ``.npz`` file each, written beside its name and renamed, with a hash of all that it holds."""
import contextlib
import hashlib
import io
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.files import replacing, save_arrays
from resnest.gluon.mxnet_private import structural_parameters

__all__ = ['found', 'load', 'newest', 'prune', 'read', 'save', 'save_parameters']

HASH, STATE = 'sha256', 'state'


def save(folder, epoch, step, arrays, state):
    """Write ``arrays`` (a dict of NumPy arrays) and ``state`` (for JSON); returns the path.

    The name says how far the run is: whole epochs, and steps within the next one.
    """
    path = Path(folder) / f'checkpoint-{epoch:04d}-{step:06d}.npz'
    arrays = {**arrays, STATE: np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)}
    arrays[HASH] = np.frombuffer(_digest(arrays), dtype=np.uint8)
    # What np.savez does, which would leave the archive open where the disk is full.
    with replacing(path) as part, zipfile.ZipFile(part, 'w', allowZip64=True) as archive:
        for key, array in arrays.items():
            with archive.open(f'{key}.npy', 'w', force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return path


def save_parameters(path, net):
    """``net.save_parameters`` in float32, whole or not at all; raises OSError where it does not fit on the disk."""
    params = {name: param.data().astype('float32') for name, param in structural_parameters(net).items()}
    save_arrays(path, params)


def load(data, name):
    """``(arrays, state)`` of a checkpoint's bytes; raises InputError that names it where they are damaged."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        if arrays.pop(HASH).tobytes() != _digest(arrays):
            raise ValueError
        return arrays, json.loads(arrays.pop(STATE).tobytes())
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, NotImplementedError,
            zipfile.BadZipFile, zlib.error):
        raise InputError(f'{name}: not a checkpoint of train.py, or a damaged one; use an older one') from None


def found(folder):
    """The checkpoints of a folder, the oldest first."""
    return sorted(Path(folder).glob('checkpoint-[0-9]*-[0-9]*.npz'), key=_place)


def _place(path):
    return tuple(map(int, path.stem.split('-')[1:]))


def newest(folder):
    """``(path, bytes, damaged)`` of the newest whole checkpoint: what ``--resume auto`` goes on from.

    Path and bytes are None where there is none; ``damaged`` lists the newer ones that cannot be used.
    """
    damaged = []
    for path in reversed(found(folder)):
        try:
            data = path.read_bytes()
            load(data, path)
        except (InputError, OSError):
            damaged.append(path)
        else:
            return path, data, damaged
    return None, None, damaged


def read(path, folder):
    """The bytes of a checkpoint by name, to go on from in ``folder``.

    Raises InputError where there is none, where it is damaged, and where the folder holds one that is further on:
    it would be taken for the newest afterwards.
    """
    if not path.is_file():
        raise InputError(f'{path}: no such checkpoint')
    data = path.read_bytes()
    _, state = load(data, path)
    last = found(folder)[-1:]
    if last and _place(last[0]) > (state['epoch'], state['step']):
        raise InputError(f'{last[0]}: further on than {path}, and --resume auto would take it next time; use another '
                         f'--save-dir, or remove it')
    return data


def prune(folder, keep):
    """Remove all but the newest ``keep`` checkpoints, and what a process that was killed while saving has left."""
    for path in (*found(folder)[:-keep], *Path(folder).glob('checkpoint-*.part')):
        with contextlib.suppress(OSError):
            path.unlink()


def _digest(arrays):
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f'{name} {array.dtype.str} {array.shape}\0'.encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b'')
    return digest.digest()
