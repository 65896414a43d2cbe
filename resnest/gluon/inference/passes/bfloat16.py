"""A folded symbol in bfloat16, but for what needs float32: the attention, its products, and the classifier.

bfloat16 has float32's range and 8 bits of precision; products are added in float32 (oneDNN's "bf16" kernels,
https://oneapi-src.github.io/oneDNN/dev_guide_training_bf16.html). mxnet's own conversion (contrib.amp) would break up
the fusions, because it takes activations and sums for float32 operators.
"""
import json

import mxnet as mx

from resnest.gluon.graph import LINEAR, from_symbol, in_type, to_symbol, vectors, walk

from .joining import JOINED

__all__ = ['to_bfloat16']

FOLLOWERS = ('Activation', 'elemwise_add', 'Pooling')   # what oneDNN computes on a convolution's output as it is
CODE = '12'     # of bfloat16 in a symbol's JSON


def to_bfloat16(symbol, args):
    """Convolutions of feature maps, and what follows them, in bfloat16; everything else stays in float32.

    Parameters
    ----------
    symbol : Symbol
        Without normalizations (see :func:`.folding.fold`); its output stays float32.
    args : dict of NDArray

    Returns ``(symbol, args, kept)``: ``kept`` names the weights of the layers that stay in float32.
    """
    outputs = from_symbol(symbol)
    single = vectors(outputs)
    low, casts, kept = set(), {}, []
    args = dict(args)
    for node in walk(outputs):
        data = [entry for entry in node.inputs if not entry[0].is_parameter]
        if node.op == JOINED and id(data[0][0]) in low:     # whose layers stay
            low.add(id(node))
        elif id(node) not in single and (
                node.op == 'Convolution' or node.op in FOLLOWERS and all(id(child) in low for child, _ in data)):
            low.add(id(node))
            node.inputs = [_cast(entry, 'bfloat16', low, casts, args) for entry in node.inputs]
        else:
            node.inputs = [_cast(entry, 'float32', low, casts, args) for entry in node.inputs]
            kept += [node.inputs[1][0].name] if node.op in LINEAR else []
        kept += [layer.name for layer, _ in node.inputs[1::2]] if node.op == JOINED else []
    outputs = [_cast(entry, 'float32', low, casts, args) for entry in outputs]
    return to_symbol(outputs), args, kept


def _cast(entry, dtype, low, casts, args):
    """``entry`` in ``dtype``: itself, a parameter that is converted once and for all, or a conversion in the graph."""
    node, _ = entry
    if node.is_parameter:
        if dtype == 'bfloat16':
            args[node.name] = _converted(args[node.name])
            node.attrs['__dtype__'] = CODE
        return entry
    return in_type(entry, dtype, low, casts)


def _converted(value):
    # The Python functions know no type of this name; a symbol does.
    symbol = json.loads(mx.sym.amp_cast(mx.sym.var('x'), dtype='float16').tojson())
    symbol['nodes'][-1]['attrs']['dtype'] = 'bfloat16'
    return mx.nd.CachedOp(mx.sym.load_json(json.dumps(symbol)))(value)
