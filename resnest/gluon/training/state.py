"""What a checkpoint holds of a run, taken from all workers and given back to them."""
import mxnet as mx
import numpy as np

from resnest.errors import InputError

from . import checkpoint

__all__ = ['COUNTERS', 'collect', 'restore']

COUNTERS = ('loss', 'right', 'seen', 'waited', 'training', 'skipped_records')


def collect(network, step, averages, counters, workers):
    """The arrays of a checkpoint; a meeting of all workers.

    Weights and the optimizer's state are the same on all of them; running statistics and ``counters`` (a dict) are
    each worker's own, and are gathered, so that each one goes on exactly where it was.
    """
    arrays = {f'net/{name}': param.data().asnumpy() for name, param in _parameters(network).items()}
    arrays['optimizer'] = np.frombuffer(step.trainer._updaters[0].get_states(dump_optimizer=False), dtype=np.uint8)
    if averages:
        arrays.update({f'average/{name}': value.asnumpy() for name, value in averages.arrays().items()})
    for kind, own in _own(arrays).items():
        arrays[f'workers/{kind}'] = workers.gather_rows(own, f'gather {kind}')
    mine = np.array([counters[name] for name in COUNTERS], dtype=np.float64)
    arrays['workers/counters'] = workers.gather_rows(mine, 'gather counters')
    return arrays


def restore(data, name, network, step, averages, workers):
    """Put a checkpoint's bytes back; returns ``(state, counters)``, this worker's own.

    On another number of workers each gets the mean of the running statistics, and the first one the sum of the
    counters. The optimizer's state is pickled by mxnet: resume only from checkpoints that you trust. Raises
    InputError where the checkpoint is damaged or of another network; nothing is changed then.
    """
    arrays, state = checkpoint.load(data, name)
    params = _parameters(network)
    for key, param in params.items():
        value = arrays.get(f'net/{key}')
        if value is None or value.shape != param.shape:
            raise InputError(f'{name}: of another network: {key} should be {param.shape}, '
                             f'is {getattr(value, "shape", "missing")}; check --model and --num-classes')
    if averages and 'average/updates' not in arrays:
        raise InputError(f'{name}: holds no moving average; leave out --ema-decay')
    same = len(arrays['workers/counters']) == workers.size
    for kind, own in _own(arrays).items():
        rows = arrays[f'workers/{kind}']
        own[:] = rows[workers.rank] if same else rows.mean(axis=0, dtype=np.float64)
        _put_own(arrays, kind, own)
    for key, param in params.items():
        param.set_data(mx.nd.array(arrays[f'net/{key}'], dtype=param.dtype))
    if averages:
        averages.load({key.split('/', 1)[1]: value for key, value in arrays.items() if key.startswith('average/')})
    updater = step.trainer._updaters[0]
    updater.set_states(arrays['optimizer'].tobytes())
    updater.optimizer = step.trainer._optimizer
    if step.scale and state['loss_scale']:
        step.scale.value, step.scale.good = state['loss_scale']
    step.skipped = state['skipped_steps']
    rows = arrays['workers/counters']
    mine = rows[workers.rank] if same else rows.sum(axis=0) * (workers.rank == 0)
    return state, dict(zip(COUNTERS, mine.tolist()))


def _parameters(network):
    return network._collect_params_with_prefix()


def _own(arrays):
    """Of each kind of weights, the vector of running statistics."""
    return {kind: np.concatenate([arrays[key].ravel() for key in _statistics(arrays, kind)] or [np.zeros(1)])
            for kind in ('net', 'average') if any(key.startswith(f'{kind}/') for key in arrays)}


def _put_own(arrays, kind, vector):
    for key in _statistics(arrays, kind):
        values, vector = np.split(vector, [arrays[key].size])
        arrays[key] = values.reshape(arrays[key].shape).astype(arrays[key].dtype)


def _statistics(arrays, kind):
    return sorted(key for key in arrays if key.startswith(f'{kind}/') and key.endswith(('running_mean', 'running_var')))
