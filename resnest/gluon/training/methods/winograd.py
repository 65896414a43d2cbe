"""3×3 convolutions of a training graph as Winograd's F(4×4, 3×3) (Lavin and Gray, 2016,
https://arxiv.org/abs/1509.09308), in the forward pass and in both gradients: a quarter of the products. For float32 on
a CPU only."""
import ast

from resnest.gluon.graph import SHAPE, output_name, to_symbol, walk
from resnest.gluon.winograd import dilation_of, suits

__all__ = ['WINOGRAD', 'with_winograd']

WINOGRAD = 'winograd_training'


def with_winograd(outputs):
    """The outputs of a float32 graph, as :func:`.from_symbol` has them, with a native operator, which must be loaded,
    for each 3×3 convolution without a bias that it makes faster.

    The parameters bear their shapes, and inputs do where these do not change; without them, maps are taken to be large.
    """
    sizes = _sizes(outputs)
    for node in walk(outputs):
        if node.op != 'Convolution' or len(node.inputs) != 2 or SHAPE not in node.inputs[1][0].attrs:
            continue
        weight = ast.literal_eval(node.inputs[1][0].attrs[SHAPE])
        if suits(node, weight, sizes.get(output_name(node.name), ())[2:]):
            node.op, node.attrs = WINOGRAD, {'groups': node.attrs.get('num_group', '1'),
                                             'dilation': str(dilation_of(node))}
    return outputs


def _sizes(outputs):
    """The shapes of what is inside a graph, by their names, where all of its variables bear theirs, or none."""
    if not all(SHAPE in node.attrs for node in walk(outputs) if node.op == 'null'):
        return {}       # the operators of lib_api cannot be asked with unknown shapes
    inside = to_symbol(outputs).get_internals()
    return dict(zip(inside.list_outputs(), inside.infer_shape()[1] or ()))
