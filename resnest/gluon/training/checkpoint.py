"""Checkpoints: one ``.npz`` file each, written beside its name and renamed, with a hash of all that it holds."""
import hashlib
import io
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.files import replacing

__all__ = ['found', 'load', 'newest', 'prune', 'save']

HASH, STATE = 'sha256', 'state'


def save(folder, epoch, step, arrays, state):
    """Write ``arrays`` (a dict of NumPy arrays) and ``state`` (for JSON); returns the path.

    The name says how far the run is: whole epochs, and steps within the next one.
    """
    path = Path(folder) / f'checkpoint-{epoch:04d}-{step:06d}.npz'
    arrays = {**arrays, STATE: np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)}
    with replacing(path) as part, open(part, 'wb') as opened:
        np.savez(opened, **arrays, **{HASH: np.frombuffer(_digest(arrays), dtype=np.uint8)})
    return path


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
    return sorted(Path(folder).glob('checkpoint-[0-9]*-[0-9]*.npz'),
                  key=lambda path: tuple(map(int, path.stem.split('-')[1:])))


def newest(folder):
    """``(path, bytes, damaged)`` of the newest whole checkpoint: what ``--resume auto`` goes on from.

    Path and bytes are None where there is none; ``damaged`` lists the newer ones that cannot be used.
    """
    damaged = []
    for path in reversed(found(folder)):
        data = path.read_bytes()
        try:
            load(data, path)
        except InputError:
            damaged.append(path)
        else:
            return path, data, damaged
    return None, None, damaged


def prune(folder, keep):
    """Remove all but the newest ``keep`` checkpoints."""
    for path in found(folder)[:-keep]:
        path.unlink(missing_ok=True)


def _digest(arrays):
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f'{name} {array.dtype.str} {array.shape}\0'.encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b'')
    return digest.digest()
