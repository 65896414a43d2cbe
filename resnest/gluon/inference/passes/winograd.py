"""3×3 convolutions as Winograd's F(4×4, 3×3) (Lavin and Gray, 2016, https://arxiv.org/abs/1509.09308), on symbols: a
quarter of the products, and rounding that is some ten times as large. For float32 inference on a CPU only."""
import mxnet as mx
import numpy as np

from .graph import Node, from_symbol, to_symbol, users, walk

__all__ = ['to_winograd', 'transformed']

OPERATOR = 'winograd_convolution'
PANEL = 16      # output channels side by side in the operator's weights
FEWEST = 32     # input channels of a group; below, the transformations take longer than the products
WINDOW = {'kernel': '(3, 3)', 'stride': '(1, 1)', 'pad': '(1, 1)', 'dilate': '(1, 1)', 'layout': 'NCHW'}
# G, of the points 0, 1, -1, 2, -2 and infinity (section 4.3).
KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24


def to_winograd(symbol, args):
    """``symbol`` with ``winograd_convolution`` for each 3×3 convolution that it suits, with the ReLU behind it.

    Those are convolutions with a bias, stride 1, zeros that keep the map's size and channels for whole vectors.

    Returns ``(symbol, args)``; the transformed weights are named like the layer, ``.winograd``, and four times as many.
    """
    outputs, args = from_symbol(symbol), dict(args)
    readers, made = users(outputs), {}
    for layer in walk(outputs):
        if layer.op != 'Convolution' or not _suits(layer, args) or len(readers[id(layer.inputs[1][0])]) > 1:
            continue
        name = layer.inputs[1][0].name
        weight = Node('null', f'{layer.layer}.winograd')
        args[weight.name] = mx.nd.array(transformed(args.pop(name).asnumpy()))
        following = readers[id(layer)]
        relu = len(following) == 1 and following[0] is not None and following[0].attrs.get('act_type') == 'relu' \
            and following[0].op == 'Activation'
        attrs = {'groups': layer.attrs.get('num_group', '1'), 'relu': str(int(relu))}
        made[id(following[0] if relu else layer)] = Node(
            OPERATOR, f'{layer.name}_winograd', attrs, [layer.inputs[0], (weight, 0), layer.inputs[2]])
    for node in [*walk(outputs), *made.values()]:
        node.inputs = [(made.get(id(child), child), number) for child, number in node.inputs]
    return to_symbol([(made.get(id(node), node), number) for node, number in outputs]), args


def _suits(layer, args):
    if len(layer.inputs) != 3 or any(layer.attrs.get(name, value) != value for name, value in WINDOW.items()) \
            or 'pad' not in layer.attrs:
        return False
    weight = args.get(layer.inputs[1][0].name)
    if weight is None or weight.dtype != np.float32:
        return False
    outer, inner = weight.shape[0] // int(layer.attrs.get('num_group', 1)), weight.shape[1]
    return inner >= FEWEST and inner % PANEL == 0 and outer % PANEL == 0


def transformed(weight):
    """The operator's weights ``(36, K / 16, C, 16)`` of kernels ``(K, C, 3, 3)``, NumPy."""
    found = np.einsum('ih,kchw,jw->ijkc', KERNEL, weight.astype(np.float64), KERNEL)
    found = found.reshape(36, -1, PANEL, weight.shape[1]).transpose(0, 1, 3, 2)
    return np.ascontiguousarray(found, dtype=np.float32)
