"""Training in bfloat16 on CPUs: convolutions and dense layers in bfloat16, of weights that are and stay float32.

bfloat16 has float32's range, so no loss is scaled, and 8 bits of precision; products are added up in float32 (Kalamkar
et al., 2019, https://arxiv.org/abs/1905.12322; https://oneapi-src.github.io/oneDNN/dev_guide_training_bf16.html).
Maps stay bfloat16 from one convolution to the next. Normalizations between them compute in float32, with float32
statistics, scale and shift; the attention's small layers, and whatever else there is, take and give float32.
"""
from resnest.gluon.graph import in_type, vectors, walk

__all__ = ['in_bfloat16']

# What computes on a bfloat16 map as it is, and gives one but for the last: BatchNorm and the attention read their other
# inputs in float32. (oneDNN's and native operators; their arithmetic is in float32.)
FOLLOWERS = ('Activation', 'BatchNorm', 'Pooling', 'elemwise_add', 'split_attention_sum', 'split_attention_pool')
SINGLE = ('split_attention_pool',)      # whose output is float32


def in_bfloat16(outputs):
    """The outputs of a float32 graph, as :func:`.from_symbol` has them, computed in bfloat16 and given as float32.

    A weight is rounded to bfloat16 in each pass, and its gradient comes back through that as float32.
    """
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
