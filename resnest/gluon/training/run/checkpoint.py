"""Checkpoints: one ``.npz`` file each, written beside its name and renamed, with a hash of all that it holds."""
import contextlib
import hashlib
import json
import re
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.files import replacing, save_arrays
from resnest.gluon.mxnet_private import structural_parameters
from resnest.reading import one_line, open_plain, parse_json

from .arrays import Damaged, check_arrays, read_arrays, write_arrays

__all__ = ['digest', 'found', 'load', 'newest', 'prune', 'read', 'save', 'save_parameters']

HASH, STATE = 'sha256', 'state'
NAME = re.compile(r'checkpoint-([0-9]{1,9})-([0-9]{1,9})\.npz')


def save(folder, epoch, step, arrays, state):
    """Write ``arrays`` (a dict of NumPy arrays) and ``state`` (for JSON); returns the path.

    The name says how far the run is: whole epochs, and steps within the next one.
    """
    path = Path(folder) / f'checkpoint-{epoch:04d}-{step:06d}.npz'
    arrays = {**arrays, STATE: np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)}
    arrays[HASH] = np.frombuffer(digest(arrays), dtype=np.uint8)
    with replacing(path) as part:
        write_arrays(part, arrays)
    return path


def save_parameters(path, net):
    """``net.save_parameters`` in float32, whole or not at all; raises OSError where it does not fit on the disk."""
    params = {name: param.data().astype('float32') for name, param in structural_parameters(net).items()}
    save_arrays(path, params)


def load(data, name):
    """``(arrays, state)`` of a checkpoint's bytes; raises InputError that names it where they are damaged.

    What there is of the state has the types that the trainer gives it; nothing is said of what there is not.
    """
    try:
        arrays = read_arrays(data)
        stored, state = arrays.pop(HASH, None), arrays.get(STATE)
        if stored is None or state is None or stored.tobytes() != digest(arrays):
            raise Damaged('its hash is of something else')
        state = parse_json(_text(arrays.pop(STATE)), 'state', nan=True)
        _check_state(state, ())
    except (Damaged, InputError) as error:
        raise InputError(f'{one_line(name)}: not a checkpoint, or a damaged one ({error}); use an older '
                         f'one') from None
    return arrays, state


def found(folder):
    """The checkpoints of a folder, the oldest first."""
    return sorted((path for path in Path(folder).glob('checkpoint-*.npz') if NAME.fullmatch(path.name)), key=_place)


def _place(path):
    return tuple(map(int, NAME.fullmatch(path.name).groups()))


def newest(folder):
    """``(path, bytes, damaged)`` of the newest whole checkpoint: what ``--resume auto`` goes on from.

    Path and bytes are None where there is none; ``damaged`` lists the newer ones that cannot be used.
    """
    damaged = []
    for path in reversed(found(folder)):
        try:
            return path, _whole(path)[0], damaged
        except InputError:
            damaged.append(path)
    return None, None, damaged


def read(path, folder):
    """The bytes of a checkpoint by name, to go on from in ``folder``, or nowhere (None).

    Raises InputError where there is none, where it is damaged, and where the folder holds one that is further on:
    it would be taken for the newest afterwards.
    """
    if not path.exists():
        raise InputError(f'{one_line(path)}: no such checkpoint')
    data, state = _whole(path)
    last = found(folder)[-1:] if folder else []
    if last and _place(last[0]) > (state['epoch'], state['step']):
        raise InputError(f'{last[0]}: further on than {path}, and --resume auto would take it next time; use another '
                         f'--save-dir, or remove it')
    return data


def _whole(path):
    """``(bytes, state)`` of a file that a run can go on from."""
    with open_plain(path) as opened:
        try:
            check_arrays(opened)        # before all of it is read: it may be a sparse file of terabytes
            opened.seek(0)
            data = opened.read()
            _, state = load(data, path)
            _check_state(state, ESSENTIAL)
        except (Damaged, OSError) as error:
            raise InputError(f'{one_line(path)}: not a checkpoint, or a damaged one '
                             f'({one_line(error)}); use an older one') from None
    return data, state


def prune(last, keep, damaged=()):
    """Keep the checkpoint ``last``, which was just written, and the ``keep - 1`` before it; remove all others.

    Those are older, or known to be ``damaged`` (paths), or seem to be further on: the run did not go on from them, so
    they are damaged too, or count other steps. What a process that was killed while saving has left goes as well.
    """
    present = found(last.parent)
    kept = [path for path in present if _place(path) < _place(last) and path not in damaged]
    kept = {last, *kept[max(0, len(kept) - keep + 1):]}
    for path in (*present, *last.parent.glob('checkpoint-*.part')):
        if path not in kept:
            with contextlib.suppress(OSError):
                path.unlink()


def digest(arrays):
    """The SHA-256 of all names, types, shapes and values."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f'{name} {array.dtype.str} {array.shape}\0'.encode('utf-8', 'surrogatepass'))
        found.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b'')
    return found.digest()


def _text(array):
    try:
        return array.tobytes().decode()
    except UnicodeDecodeError:
        raise Damaged('its state is no text') from None


def _is_count(value):
    return type(value) is int and 0 <= value < 2 ** 31


def _is_number(value):
    return type(value) in (int, float)


def _is_row(value):
    return isinstance(value, dict) and _is_count(value.get('epoch'))


STATE_TYPES = {
    'epoch': _is_count, 'step': _is_count, 'skipped_steps': _is_count,
    'best': lambda value: value is None or _is_row(value),
    'rows': lambda value: isinstance(value, list) and all(map(_is_row, value)),
    'seconds': lambda value: _is_number(value) and 0 <= value < 1e12,
    'recipe': lambda value: isinstance(value, dict),
    'loss_scale': lambda value: value is None or (isinstance(value, list) and len(value) == 2 and
                                                  _is_number(value[0]) and 0 < value[0] < 1e30 and _is_count(value[1])),
    'counters': lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
}
ESSENTIAL = tuple(STATE_TYPES)[:-1]     # version 1 has no names of counters


def _check_state(state, needed):
    if not isinstance(state, dict):
        raise Damaged('its state is none')
    for key, right in STATE_TYPES.items():
        if (key in state and not right(state[key])) or (key in needed and key not in state):
            raise Damaged(f'its state has no sensible {key}')
