"""A network as a symbol for inference, with the official names, while the network itself stays as it is."""
import contextlib

import mxnet as mx

from resnest.errors import InputError
from resnest.gluon.graph import INPUT, from_symbol, to_symbol, walk
from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.nn import DeformableConv2D, DropBlock, DropPath
from resnest.gluon.nn.native import libraries, load

__all__ = ['in_list', 'trace']


def in_list(outputs):
    """The outputs of a network, which may be one array or symbol or a tuple of them, as a list."""
    outputs = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    if not outputs or any(isinstance(each, (tuple, list)) for each in outputs):
        raise InputError("the network's output must be an array or a tuple of arrays")
    return outputs


def trace(net, dtype='float32', native=False, whole=False):
    """The symbol of ``net`` in inference, and copies of its parameters.

    Parameters
    ----------
    net : HybridBlock
        With values for all parameters.
    dtype : str
        Of the input, ``data``.
    native : bool
        Whether split attention and resizing are to be the native operators; they must be loaded.
        Deformable convolutions always are: their pure path is many small operators.
    whole : bool
        Whether resizing is to be one node, mxnet's, instead of products of matrices.

    Returns ``(symbol, args, aux)``: the parameters by the names under which ``net.save_parameters`` writes them
    (``layer1.0.conv2.fc1.weight``), on the CPU; a tuple of outputs is a group. Raises InputError where a parameter has
    no value, for outputs within outputs, and for deformable convolutions without their native operator.
    """
    library = DeformableConv2D.library
    if library in libraries(net) and not load(name=library):
        raise InputError('deformable convolutions need the native operators, which are not there: '
                         'python -m resnest.gluon.nn.native builds them')
    names = {param.name: name for name, param in structural_parameters(net).items()}
    with _inference_form(net, native=native, whole=whole), mx.autograd.pause():
        symbol = mx.sym.Group(in_list(net(mx.sym.var(INPUT, dtype=dtype))))
    try:
        values = {name: param.data(param.list_ctx()[0]).copyto(mx.cpu())
                  for name, param in net.collect_params().items() if name in symbol.list_inputs()}
    except RuntimeError:
        raise InputError('the network has parameters without values: load or initialize them first') from None
    outputs = from_symbol(symbol)
    for node in walk(outputs):
        if node.op == 'null':
            node.name = names.get(node.name, node.name)
    symbol = to_symbol(outputs)
    values = {names[name]: value for name, value in values.items()}
    return (symbol, {name: values[name] for name in symbol.list_arguments() if name != INPUT},
            {name: values[name] for name in symbol.list_auxiliary_states()})


@contextlib.contextmanager
def _inference_form(net, **forms):
    """``net`` without DropBlock and DropPath, its blocks in those of the ``forms`` that they have, while it lasts."""
    blocks = []
    net.apply(blocks.append)
    settings = [(block, 'prob', 0) for block in blocks if isinstance(block, (DropBlock, DropPath))]
    settings += [(block, name, value) for name, value in forms.items() for block in blocks if hasattr(block, name)]
    settings += [(block, 'native', True) for block in blocks if isinstance(block, DeformableConv2D)]
    before = [getattr(block, name) for block, name, _ in settings]
    try:
        for block, name, value in settings:
            setattr(block, name, value)
        yield
    finally:
        for (block, name, _), value in zip(settings, before):
            setattr(block, name, value)
