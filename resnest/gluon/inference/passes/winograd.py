"""3×3 convolutions as Winograd's F(4×4, 3×3) (Lavin and Gray, 2016, https://arxiv.org/abs/1509.09308), on symbols: a
quarter of the products, and rounding that is some ten times as large. For float32 inference on a CPU only."""
import mxnet as mx
import numpy as np

from resnest.gluon.graph import INPUT, Node, from_symbol, output_name, to_symbol, users, walk
from resnest.gluon.winograd import PANEL, dilation_of, suits, tiles_of

__all__ = ['WINOGRAD', 'to_winograd', 'transformed']

WINOGRAD = 'winograd_convolution'
TILES = 12      # in a batch; with fewer, reading the weights, four times as many, takes longer than the products
# G, of the points 0, 1, -1, 2, -2 and infinity (section 4.3).
KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24


def to_winograd(symbol, args, shape):
    """``symbol`` with ``winograd_convolution`` for each 3×3 convolution that it makes faster, with the ReLU behind it.

    Those have a bias, stride 1, zeros that keep the map's size, channels for whole vectors and, on images of
    ``shape``, maps for which the rule above holds; it comes from timing single layers in batches of 1, 4 and 16.

    Returns ``(symbol, args, layers)``, the layers' names last; the transformed weights, four times as many, are named
    like the layer, ``.winograd``.
    """
    outputs, args = from_symbol(symbol), dict(args)
    readers, sizes, made = users(outputs), _sizes(symbol, args, shape), {}
    layers = []
    for layer in walk(outputs):
        if layer.op != 'Convolution' or not _suits(layer, args, sizes) or len(readers[id(layer.inputs[1][0])]) > 1:
            continue
        layers.append(layer.layer)
        weight = Node('null', f'{layer.layer}.winograd')
        args[weight.name] = mx.nd.array(transformed(args.pop(layer.inputs[1][0].name).asnumpy()))
        following = readers[id(layer)]
        relu = len(following) == 1 and following[0] is not None and following[0].op == 'Activation' \
            and following[0].attrs['act_type'] == 'relu'
        attrs = {'groups': layer.attrs.get('num_group', '1'), 'relu': str(int(relu)),
                 'dilation': str(dilation_of(layer))}
        made[id(following[0] if relu else layer)] = Node(
            WINOGRAD, f'{layer.name}_winograd', attrs, [layer.inputs[0], (weight, 0), layer.inputs[2]])
    for node in [*walk(outputs), *made.values()]:
        node.inputs = [(made.get(id(child), child), number) for child, number in node.inputs]
    return to_symbol([(made.get(id(node), node), number) for node, number in outputs]), args, layers


def _sizes(symbol, args, shape):
    """The shapes of all arrays inside a symbol, by their names, for images of ``shape``."""
    inside = symbol.get_internals()
    known = {INPUT: shape, **{name: value.shape for name, value in args.items()}}
    _, found, _ = inside.infer_shape_partial(**known)
    return dict(zip(inside.list_outputs(), found))


def _suits(layer, args, sizes):
    weight = args.get(layer.inputs[1][0].name)
    if len(layer.inputs) != 3 or weight is None or weight.dtype != np.float32:
        return False
    batch, _, *sides = sizes[output_name(layer.name)]
    return suits(layer, weight.shape, sides) and batch * tiles_of(sides, dilation_of(layer)) >= TILES


def transformed(weight):
    """The operator's weights ``(36, K / 16, C, 16)`` of kernels ``(K, C, 3, 3)``, NumPy."""
    found = np.einsum('ih,kchw,jw->ijkc', KERNEL, weight.astype(np.float64), KERNEL, optimize=True)
    found = found.reshape(36, -1, PANEL, weight.shape[1]).transpose(0, 1, 3, 2)
    return np.ascontiguousarray(found, dtype=np.float32)
