"""What a checkpoint holds of a run, taken from all workers and given back to them."""
import mxnet as mx
import numpy as np

from resnest.errors import SharedError
from resnest.gluon.distributed import STATISTICS
from resnest.gluon.mxnet_private import structural_parameters

from . import checkpoint

__all__ = ['COUNTERS', 'collect', 'restore']

COUNTERS = ('loss', 'right', 'seen', 'waited', 'training', 'skipped_records')


def collect(network, step, averages, counters, workers):
    """The arrays of a checkpoint on rank 0, which writes it; a meeting of all workers.

    Weights and the optimizer's state are the same on all of them; running statistics and ``counters`` (a dict) are
    each worker's own, and are gathered, so that each one goes on exactly where it was.
    """
    held = {f'net/{name}': param.data() for name, param in structural_parameters(network).items()}
    if averages:
        held.update({f'average/{name}': value for name, value in averages.arrays().items()})
    for index, state in step.trainer._updaters[0].states.items():
        held.update({f'optimizer/{index}/{place}': part for place, part in enumerate(_parts(state))})
    arrays = {key: value.asnumpy() for key, value in held.items() if workers.rank == 0 or key.endswith(STATISTICS)}
    for kind, own in _own(arrays, bool(averages)).items():
        arrays[f'workers/{kind}'] = workers.gather_rows(own, f'gather {kind}')
    mine = np.array([counters[name] for name in COUNTERS], dtype=np.float64)
    arrays['workers/counters'] = workers.gather_rows(mine, 'gather counters')
    return arrays


def restore(data, name, network, step, averages, workers):
    """Put a checkpoint's bytes back; returns ``(state, counters)``, this worker's own.

    On another number of workers each gets the mean of the running statistics, and the first one the sum of the
    counters. What the optimizer has no state for starts anew. Raises InputError where the checkpoint is damaged or
    of another network; nothing is changed then.
    """
    arrays, state = checkpoint.load(data, name)
    params = structural_parameters(network)
    for key, param in params.items():
        value = arrays.get(f'net/{key}')
        if value is None or value.shape != param.shape:
            raise SharedError(f'{name}: of another network: {key} should be {param.shape}, '
                              f'is {getattr(value, "shape", "missing")}; check --model and --num-classes')
    if averages and 'average/updates' not in arrays:
        raise SharedError(f'{name}: holds no moving average; leave out --ema-decay')
    same = len(arrays['workers/counters']) == workers.size
    for kind, own in _own(arrays, 'average/updates' in arrays).items():
        rows = arrays[f'workers/{kind}']
        own[:] = rows[workers.rank] if same else rows.mean(axis=0, dtype=np.float64)
        _put_own(arrays, kind, own)
    for key, param in params.items():
        param.set_data(mx.nd.array(arrays[f'net/{key}'], dtype=param.dtype))
    if averages:
        averages.load({key.split('/', 1)[1]: value for key, value in arrays.items() if key.startswith('average/')})
    updater = step.trainer._updaters[0]
    for index, param in enumerate(step.trainer._params):
        if param.grad_req != 'null':
            created = updater.optimizer.create_state_multi_precision(index, param.data())
            for place, part in enumerate(_parts(created)):
                part[:] = arrays.get(f'optimizer/{index}/{place}', part)
            updater.states[index], updater.states_synced[index] = created, True
    if step.scale and state['loss_scale']:
        step.scale.value, step.scale.good = state['loss_scale']
    step.skipped = state['skipped_steps']
    rows = arrays['workers/counters']
    mine = rows[workers.rank] if same else rows.sum(axis=0) * (workers.rank == 0)
    return state, dict(zip(COUNTERS, mine.tolist()))


def _parts(state):
    """The arrays of a weight's optimizer state: the momentum, if any, and float32 weights beside float16 ones."""
    return [part for part in (state if isinstance(state, tuple) else (state,)) if part is not None]


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
