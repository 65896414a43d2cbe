"""Ranges of activations for int8, seen on calibration images."""
import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.mxnet_private import observe_outputs

from ..passes.tracing import in_list

__all__ = ['MODES', 'find_ranges', 'first_classes', 'run']

MODES = ('naive', 'entropy')
BINS = 4001
SAMPLE = 1 << 20    # values of an array that go into its histogram


def run(symbol, args, aux, batches, watch=None):
    """The outputs of ``symbol``, a list, NumPy, for the batches together.

    ``watch(name, array)`` is called with every node's outputs as they are computed; that of ``conv0`` is named
    ``conv0_output``.
    """
    network = mx.nd.CachedOp(symbol)
    if watch:
        observe_outputs(network, watch)
    # Copies: oneDNN may store the weights anew, in a layout of its own.
    values = {name: value.copy() for name, value in {**args, **aux}.items()}
    found = [[array.asnumpy() for array in in_list(
        network(*(batch if name == 'data' else values[name] for name in symbol.list_inputs())))] for batch in batches]
    return [np.concatenate(arrays) for arrays in zip(*found)]


def first_classes(outputs, images):
    """The first class of each of the images, or of each of their pixels ``(N, H, W)``, NumPy.

    That is by the first of a network's outputs that is ``(N, classes)``, its logits, or ``(N, classes, H, W)`` at the
    size of the images; None where there are no logits.
    """
    sides = images.shape[1:3] if np.dtype(images.dtype) == np.uint8 else images.shape[2:]
    return next((output.argmax(axis=1) for output in outputs if output.ndim == 2 or output.shape[2:] == sides), None)


def find_ranges(symbol, args, aux, batches, names, mode):
    """What int8 is to represent of the arrays ``names``.

    Parameters
    ----------
    symbol, args, aux
        The float32 network.
    batches : list of NDArray
    names : collection of str
        'data' and outputs of nodes, as :func:`run` names them.
    mode : 'naive' or 'entropy'
        The smallest and largest value; or the bound that loses least information (Kullback-Leibler divergence,
        Migacz, 8-bit inference with TensorRT, 2017).

    Returns ``({name: (low, high)}, outputs of the network)``; where no value is negative, ``low`` is 0. Raises
    InputError for values that are not finite.
    """
    ranges, counts = {}, {}

    def widen(name, array):
        if name in names:
            values = array.asnumpy()
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = np.minimum(low, values.min()), np.maximum(high, values.max())        # NaN stays

    outputs = _watch(symbol, args, aux, batches, widen)
    if not np.isfinite([*ranges.values()]).all():
        raise InputError('some calibration images give values that are not finite in float32; int8 cannot hold them')
    ranges = {name: (float(min(low, 0.0)), float(max(high, low, 1e-6))) for name, (low, high) in ranges.items()}
    if mode == 'naive':
        return ranges, outputs

    def count(name, array):
        if name in names:
            values = array.asnumpy().ravel()
            found, _ = np.histogram(values[::max(1, values.size // SAMPLE)], _edges(ranges[name]))
            counts[name] = counts.get(name, 0) + found

    _watch(symbol, args, aux, batches, count)
    for name, found in counts.items():
        positive = ranges[name][0] == 0
        edges = mx.nd.array(_edges(ranges[name]))
        bound, _ = mx.nd.contrib.calibrate_entropy(hist=mx.nd.array(found), hist_edges=edges,
                                                   num_quantized_bins=511 if positive else 255)
        bound = float(bound.asscalar())
        ranges[name] = (0.0 if positive else -bound, bound)
    return ranges, outputs


def _watch(symbol, args, aux, batches, watch):
    """:func:`run`, with the images watched as well."""
    for batch in batches:
        watch('data', batch)
    return run(symbol, args, aux, batches, watch)


def _edges(limits):
    bound = max(-limits[0], limits[1])
    return np.linspace(-bound, bound, BINS + 1)
