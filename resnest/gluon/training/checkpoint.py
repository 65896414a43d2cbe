"""Checkpoints: one ``.npz`` file each, written beside its name and renamed; its zip checksums tell damage."""
import io
import json
import os
import zipfile
from pathlib import Path

import mxnet as mx
import numpy as np

from resnest.errors import InputError

__all__ = ['latest', 'load', 'save', 'save_parameters']


def save(path, net, trainer, state):
    """Write parameters, optimizer state and ``state`` (JSON: epoch, step, best result, recipe)."""
    arrays = {f'net/{name}': param.data().asnumpy() for name, param in net._collect_params_with_prefix().items()}
    arrays['optimizer'] = np.frombuffer(trainer._updaters[0].get_states(dump_optimizer=False), dtype=np.uint8)
    arrays['state'] = np.frombuffer(json.dumps(state).encode(), dtype=np.uint8)
    part = Path(f'{path}.part')
    with open(part, 'wb') as opened:
        np.savez(opened, **arrays)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(part, path)


def load(path, net, trainer):
    """Put a checkpoint back into the network and the trainer; returns its state.

    Raises InputError for a file that is missing, damaged or of another network; nothing is changed then.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f'{path}: no such checkpoint')
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}      # reading checks each CRC
        state = json.loads(arrays['state'].tobytes())
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f'{path}: not a checkpoint, or a damaged one ({error}); use an older one') from None
    params = net._collect_params_with_prefix()
    for name, param in params.items():
        value = arrays.get(f'net/{name}')
        if value is None or value.shape != param.shape:
            raise InputError(f'{path}: of another network: {name} should be {param.shape}, '
                             f'is {getattr(value, "shape", "missing")}; check --model and --num-classes')
    for name, param in params.items():
        param.set_data(mx.nd.array(arrays[f'net/{name}'], dtype=param.dtype))
    trainer._updaters[0].set_states(arrays['optimizer'].tobytes())
    trainer._updaters[0].optimizer = trainer._optimizer
    trainer._optimizer.num_update = trainer._optimizer.begin_num_update = state['step']
    trainer._optimizer._index_update_count.clear()
    return state


def latest(folder):
    """The newest checkpoint of a folder, or None."""
    found = sorted(Path(folder).glob('checkpoint-*.npz'))
    return found[-1] if found else None


def save_parameters(net, path):
    """``net.save_parameters``, whole or not at all."""
    part = f'{path}.part'
    net.save_parameters(part)
    os.replace(part, path)
