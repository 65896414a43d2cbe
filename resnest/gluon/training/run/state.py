"""What a checkpoint holds of a run, taken from all ranks and given back to them."""
import mxnet as mx
import numpy as np

from resnest.errors import SharedError
from resnest.gluon.distributed import STATISTICS
from resnest.gluon.mxnet_private import (
    make_optimizer_states,
    optimizer_indices,
    optimizer_states,
    set_update_counts,
    structural_parameters,
    update_counts,
)

from . import checkpoint

__all__ = ['COUNTERS', 'collect', 'restore']

UPDATES = 'updates'     # of each parameter, in the order of the network's
COUNTERS = ('loss', 'seen', 'waited', 'training', 'skipped_records')
# The order in which checkpoints of version 1 hold their counters.
FORMER_COUNTERS = ('loss', 'right', 'seen', 'waited', 'training', 'skipped_records')


def collect(network, step, averages, counters, job):
    """The arrays of a checkpoint on rank 0, which writes it; a collective of all ranks.

    Weights and the optimizer's state are the same on all of them, and are held by the names of
    ``network.save_parameters``; running statistics and ``counters`` (a dict) are each rank's own, and are gathered, so
    that each one goes on exactly where it was.
    """
    params = structural_parameters(network)
    held = {f'net/{name}': param.data() for name, param in params.items()}
    if averages:
        held.update({f'average/{name}': value for name, value in averages.arrays().items()})
    names = {param: name for name, param in params.items()}
    for param, parts in optimizer_states(step.trainer):
        held.update({f'optimizer/{names[param]}/{place}': part for place, part in enumerate(parts)})
    counts = {names[param]: count for param, count in update_counts(step.trainer).items()}
    arrays = {key: value.asnumpy() for key, value in held.items() if job.rank == 0 or key.endswith(STATISTICS)}
    if job.rank == 0:
        arrays[UPDATES] = np.array([counts.get(name, 0) for name in params], dtype=np.int64)
    for kind, own in _own(arrays, bool(averages)).items():
        arrays[f'ranks/{kind}'] = job.gather_rows(own, f'gather {kind}')
    mine = np.array(list(counters.values()), dtype=np.float64)
    arrays['ranks/counters'] = job.gather_rows(mine, 'gather counters')
    return arrays


def restore(data, name, network, step, averages, job):
    """Put a checkpoint's bytes back; returns ``(state, counters)``, this rank's own.

    On another number of ranks each gets the mean of the running statistics, and the first one the sum of the
    counters. What the optimizer has no state for starts anew. Raises InputError where the checkpoint is damaged or
    of another network; nothing is changed then.
    """
    arrays, state = checkpoint.load(data, name)
    arrays = {key.replace('workers/', 'ranks/', 1): value for key, value in arrays.items()}      # version 1's word
    params = structural_parameters(network)
    for key, param in params.items():
        value = arrays.get(f'net/{key}')
        if value is None or value.shape != param.shape:
            raise SharedError(f'{name}: of another network: {key} should be {param.shape}, '
                              f'is {getattr(value, "shape", "missing")}; check --model and --num-classes')
    if UPDATES in arrays and (arrays[UPDATES].shape != (len(params),) or (arrays[UPDATES] < 0).any()):
        raise SharedError(f'{name}: damaged: its numbers of updates are none; use an older one')
    if averages and 'average/updates' not in arrays:
        raise SharedError(f'{name}: holds no moving average; leave out --ema-decay')
    counted = state.get('counters', FORMER_COUNTERS)
    rows = arrays.get('ranks/counters', np.zeros(0))
    if rows.ndim != 2 or rows.shape[1] != len(counted) or not len(rows) or not np.isfinite(rows).all():
        raise SharedError(f'{name}: damaged: its counters are none; use an older one')
    same = len(rows) == job.size
    for kind, own in _own(arrays, 'average/updates' in arrays).items():
        each = arrays.get(f'ranks/{kind}', np.zeros(0))
        if each.shape != (len(rows), own.size):
            raise SharedError(f'{name}: damaged: its running statistics do not fit together; use an older one')
        own[:] = each[job.rank] if same else each.mean(axis=0, dtype=np.float64)
        _put_own(arrays, kind, own)
    names, indices = {param: key for key, param in params.items()}, optimizer_indices(step.trainer)
    optimizer = []
    for param, parts in make_optimizer_states(step.trainer):
        for place, part in enumerate(parts):
            # Version 1 held them by mxnet's own numbers.
            former = arrays.get(f'optimizer/{indices[param]}/{place}', part)
            optimizer.append((part, arrays.get(f'optimizer/{names[param]}/{place}', former)))
            if optimizer[-1][1].shape != part.shape:
                raise SharedError(f'{name}: damaged: the momentum of {names[param]} has another shape than it')
    if averages:
        averages.load({key.split('/', 1)[1]: value for key, value in arrays.items() if key.startswith('average/')})
    for key, param in params.items():
        param.set_data(mx.nd.array(arrays[f'net/{key}'], dtype=param.dtype))
    for part, value in optimizer:
        part[:] = value
    if UPDATES in arrays:
        set_update_counts(step.trainer, {param: int(count) for param, count in zip(params.values(), arrays[UPDATES])
                                         if count})
    if step.scale and state['loss_scale']:
        step.scale.value, step.scale.good = state['loss_scale']
    step.skipped = state['skipped_steps']
    mine = rows[job.rank] if same else rows.sum(axis=0) * (job.rank == 0)
    return state, dict(zip(counted, mine.tolist()))


def _own(arrays, averaged):
    """Of each kind of weights, the vector of running statistics."""
    return {kind: np.concatenate([arrays[key].ravel() for key in _statistics(arrays, kind)] or [np.zeros(1)])
            for kind in ('net', *['average'] * averaged)}


def _put_own(arrays, kind, vector):
    for key in _statistics(arrays, kind):
        values, vector = np.split(vector, [arrays[key].size])
        arrays[key] = values.reshape(arrays[key].shape).astype(arrays[key].dtype)


def _statistics(arrays, kind):
    return sorted(key for key in arrays if key.startswith(f'{kind}/') and key.endswith(STATISTICS))
