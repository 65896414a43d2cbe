"""Batch normalization folded into the convolutions before it, on symbols.

In inference ``gamma * (W x + b - mean) / sqrt(var + eps) + beta`` is a convolution with the weights
``W * gamma / sqrt(var + eps)``. The result runs on any backend and needs nothing of this package.
"""
import mxnet as mx
import numpy as np

from resnest.gluon.graph import LINEAR, from_symbol, to_symbol, users, walk

__all__ = ['fold']


def fold(symbol, args, aux):
    """Fold every BatchNorm that follows a (de)convolution or dense layer into it, drop every Dropout and BlockGrad.

    A BatchNorm stays where something else reads the convolution too, or where weights are shared. The bias of a
    folded convolution takes the name of the normalization's ``beta``.

    Parameters
    ----------
    symbol : Symbol
    args, aux : dict of NDArray
        Its parameters by name; left as they are.

    Returns ``(symbol, args, aux)`` for inference, with those parameters only that the new symbol has. The products are
    computed in float64 and stored in the parameters' type.
    """
    outputs = from_symbol(symbol)
    args, aux = dict(args), dict(aux)
    _bypass(outputs, lambda node: node.op == 'BlockGrad' or
            node.op == 'Dropout' and node.attrs.get('mode', 'training') == 'training')
    readers = users(outputs)
    folded = set()
    for norm in walk(outputs):
        if norm.op == 'BatchNorm' and _foldable(norm, readers):
            _fold_into(norm.inputs[0][0], norm, args, aux)
            folded.add(id(norm))
    _bypass(outputs, lambda node: id(node) in folded)
    symbol = to_symbol(outputs)
    return (symbol, {name: args[name] for name in symbol.list_arguments() if name in args},
            {name: aux[name] for name in symbol.list_auxiliary_states()})


def _bypass(outputs, which):
    """Let the readers of the nodes that ``which`` picks read their first input instead."""
    def source(entry):
        while which(entry[0]):
            entry = entry[0].inputs[0]
        return entry

    for node in walk(outputs):
        node.inputs = [source(entry) for entry in node.inputs]
    outputs[:] = [source(entry) for entry in outputs]


def _foldable(norm, readers):
    layer = norm.inputs[0][0]
    return ((layer.op in LINEAR or layer.op == 'Deconvolution' and layer.attrs.get('num_group', '1') == '1')
            and norm.attrs.get('axis', '1') == '1' and layer.attrs.get('layout', 'NCHW') != 'NHWC'
            and all(len(readers[id(child)]) == 1 for child in (layer, *(node for node, _ in layer.inputs[1:]),
                                                              *(node for node, _ in norm.inputs[1:]))))


def _fold_into(layer, norm, args, aux):
    gamma, beta, mean, variance = (node for node, _ in norm.inputs[1:])
    scale = 1 / np.sqrt(_value(aux, variance) + float(norm.attrs.get('eps', 1e-3)))
    if not norm.flag('fix_gamma', True):
        scale = scale * _value(args, gamma)
    shift = _value(args, beta) - _value(aux, mean) * scale
    weight = layer.inputs[1][0]
    value = _value(args, weight)
    outputs = int(layer.op == 'Deconvolution')      # the axis of the weights
    _store(args, weight, value * scale.reshape([-1 if axis == outputs else 1 for axis in range(value.ndim)]))
    if not layer.flag('no_bias'):
        shift = shift + _value(args, layer.inputs[2][0]) * scale
    _store(args, beta, shift)
    layer.attrs['no_bias'] = 'False'
    layer.inputs = [*layer.inputs[:2], (beta, 0)]


def _value(values, node):
    return values[node.name].asnumpy().astype(np.float64)


def _store(values, node, value):
    values[node.name] = mx.nd.array(value, dtype=values[node.name].dtype)
