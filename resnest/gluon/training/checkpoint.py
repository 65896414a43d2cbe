"""Checkpoints: one ``.npz`` file each, written beside its name and renamed; its zip checksums tell damage."""
import io
import json
import zipfile
import zlib
from pathlib import Path

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.files import replacing

__all__ = ['latest', 'load', 'restore', 'save', 'save_parameters']


def save(path, net, trainer, state):
    """Write parameters, optimizer state and ``state`` (JSON: epochs done, best result, rows of the log, recipe)."""
    arrays = {f'net/{name}': param.data().asnumpy() for name, param in net._collect_params_with_prefix().items()}
    arrays['optimizer'] = np.frombuffer(trainer._updaters[0].get_states(dump_optimizer=False), dtype=np.uint8)
    arrays['state'] = np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)
    with replacing(path) as part, open(part, 'wb') as opened:
        np.savez(opened, **arrays)


def load(data, name):
    """``(arrays, state)`` of a checkpoint's bytes; raises InputError that names it where they are damaged.

    The optimizer's state is pickled by mxnet: resume only from checkpoints that you trust.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}         # reading checks each CRC
        return arrays, json.loads(arrays['state'].tobytes()), arrays['optimizer'].tobytes()
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, zipfile.BadZipFile, zlib.error):
        raise InputError(f'{name}: not a checkpoint of train.py, or a damaged one; use an older one') from None


def restore(data, name, net, trainer, steps):
    """Put a checkpoint's bytes back into the network and the trainer; returns its state.

    ``steps`` are those of an epoch as it is now: the schedule goes on at the same epoch, whatever
    the number of workers was. Raises InputError where the checkpoint is of another network; nothing is changed then.
    """
    arrays, state, optimizer = load(data, name)
    params = net._collect_params_with_prefix()
    for key, param in params.items():
        value = arrays.get(f'net/{key}')
        if value is None or value.shape != param.shape:
            raise InputError(f'{name}: of another network: {key} should be {param.shape}, '
                             f'is {getattr(value, "shape", "missing")}; check --model and --num-classes')
    for key, param in params.items():
        param.set_data(mx.nd.array(arrays[f'net/{key}'], dtype=param.dtype))
    trainer._updaters[0].set_states(optimizer)
    trainer._updaters[0].optimizer = trainer._optimizer
    trainer._optimizer.num_update = trainer._optimizer.begin_num_update = state['epoch'] * steps
    trainer._optimizer._index_update_count.clear()
    return state


def latest(folder):
    """The newest checkpoint of a folder, or None."""
    found = sorted(Path(folder).glob('checkpoint-*.npz'))
    return found[-1] if found else None


def save_parameters(net, path):
    """``net.save_parameters``, whole or not at all."""
    with replacing(path) as part:
        net.save_parameters(str(part))
