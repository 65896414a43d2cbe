"""Training in bfloat16 on CPUs: convolutions and dense layers in bfloat16, of weights that are and stay float32.

bfloat16 has float32's range, so no loss is scaled, and 8 bits of precision; products are added up in float32 (Kalamkar
et al., 2019, https://arxiv.org/abs/1905.12322; https://oneapi-src.github.io/oneDNN/dev_guide_training_bf16.html).
Maps stay bfloat16 from one convolution to the next. Normalizations between them compute in float32, with float32
statistics, scale and shift; the attention's small layers, and whatever else there is, take and give float32.
"""
import mxnet as mx
from mxnet.gluon import HybridBlock

from resnest.gluon.graph import from_symbol, in_type, to_symbol, vectors, walk

__all__ = ['InBfloat16']

# What computes on a bfloat16 map as it is, and gives one but for the last: BatchNorm and the attention read their other
# inputs in float32. (oneDNN's and native operators; their arithmetic is in float32.)
FOLLOWERS = ('Activation', 'BatchNorm', 'Pooling', 'elemwise_add', 'split_attention_sum', 'split_attention_pool')
SINGLE = ('split_attention_pool',)      # whose output is float32


class InBfloat16(HybridBlock):
    """``net``, which takes and gives float32, with its convolutions and dense layers in bfloat16.

    Hybridize it: what is rewritten is the traced graph. Without, it is ``net`` itself. Its parameters are those of
    ``net``; a weight is rounded to bfloat16 in each pass, and its gradient comes back through that as float32.
    """

    def __init__(self, net):
        super().__init__()
        self.net = net

    def hybrid_forward(self, F, *inputs):
        outputs = self.net(*inputs)
        if F is mx.nd:
            return outputs
        flat = list(_flatten(outputs))
        rewritten = iter(to_symbol(_lowered(from_symbol(mx.sym.Group(flat)))))
        return _like(outputs, rewritten)


def _flatten(outputs):
    """The symbols in what a network returns, a symbol or lists of them."""
    if isinstance(outputs, (list, tuple)):
        for each in outputs:
            yield from _flatten(each)
    else:
        yield outputs


def _like(outputs, symbols):
    """The next of ``symbols`` in the places of those in ``outputs``."""
    if isinstance(outputs, (list, tuple)):
        return tuple(_like(each, symbols) for each in outputs)
    return next(symbols)


def _lowered(outputs):
    """The outputs of a float32 graph, as :func:`.from_symbol` has them, computed in bfloat16 and given as float32."""
    single, low, casts = vectors(outputs), set(), {}

    for node in walk(outputs):
        whole = len(node.inputs) if node.op in ('Convolution', 'FullyConnected', 'elemwise_add') else 1
        lowers = node.op == 'FullyConnected' or node.op == 'Convolution' and id(node) not in single
        if lowers or _follows(node, [child for child, _ in node.inputs[:whole]], low):
            node.inputs = [in_type(entry, 'bfloat16' if place < whole else 'float32', low, casts)
                           for place, entry in enumerate(node.inputs)]
            low.update([] if node.op in SINGLE else [id(node)])
        else:
            node.inputs = [in_type(entry, 'float32', low, casts) for entry in node.inputs]
    return [in_type(entry, 'float32', low, casts) for entry in outputs]


def _follows(node, maps, low):
    return node.op in FOLLOWERS and all(id(child) in low for child in maps) and \
        node.attrs.get('act_type', 'relu') == 'relu'
