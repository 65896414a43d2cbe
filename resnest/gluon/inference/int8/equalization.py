"""Grouped convolutions with equally large weights in every channel, on symbols."""
import mxnet as mx
import numpy as np

from resnest.gluon.graph import Node, from_symbol, to_symbol, users, vectors, walk

__all__ = ['equalize']

LARGEST_BIAS = 32       # times the largest weight of a channel


def equalize(symbol, args):
    """Divide the weights of each channel of a grouped convolution by their largest, and multiply its output by that.

    Layers after a global pooling stay, since they are not quantized.

    mxnet 1.9 quantizes the weights of a grouped convolution with the scales of its first channels, one for each group,
    and reads its output with every channel's own. The two agree where all channels have the same scale; otherwise a
    third of the output is error. The product comes after the ReLU, where there is one: the convolution is fused with
    it.

    A channel of nearly no weights but a bias is divided by less than its bias asks for, or its output would take the
    range of all others (the quantized output has one range for all channels): what its weights add is then too small.
    Not so the first channels, whose scales the others get.

    Returns ``(symbol, args)``, whose outputs are those of ``symbol``; the factors are named like the layer, ``.scale``.
    """
    outputs, args = from_symbol(symbol), dict(args)
    readers, pooled = users(outputs), vectors(outputs)
    products = {}
    for layer in walk(outputs):
        if layer.op != 'Convolution' or int(layer.attrs.get('num_group', 1)) == 1 or id(layer) in pooled:
            continue
        names = [node.name for node, _ in layer.inputs[1:]]
        weight = args[names[0]].asnumpy()
        largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
        if len(names) > 1:
            bounded = np.maximum(largest, np.abs(args[names[1]].asnumpy()) / LARGEST_BIAS)
            groups = int(layer.attrs['num_group'])
            largest[groups:] = bounded[groups:]
        largest[largest == 0] = 1
        for name in names:
            value = args[name].asnumpy()
            args[name] = mx.nd.array(value / largest.reshape((-1,) + (1,) * (value.ndim - 1)), dtype=value.dtype)
        last = layer
        following = readers[id(layer)]
        if len(following) == 1 and following[0] and following[0].attrs.get('act_type') == 'relu':
            last = following[0]
        scale = Node('null', f'{layer.layer}.scale')
        args[scale.name] = mx.nd.array(largest.reshape(1, -1, 1, 1))
        products[id(last)] = Node('broadcast_mul', f'{layer.name}_scaled', {}, [(last, 0), (scale, 0)])
    for node in walk(outputs):
        node.inputs = [(products.get(id(child), child), number) for child, number in node.inputs]
    outputs = [(products.get(id(node), node), number) for node, number in outputs]
    return to_symbol(outputs), args
