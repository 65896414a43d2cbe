"""Split attention as one native operator, on symbols: it works in the layout that oneDNN's convolutions leave, so that
nothing is reordered between two of them. For inference only."""
from resnest.gluon.graph import Node, before, from_symbol, to_symbol, users, walk

__all__ = ['JOINED', 'SOFTMAX', 'join_attention']

JOINED = 'split_attention_float'
# Between the attention's second layer and the weights of the splits.
SOFTMAX = ('Reshape', 'transpose', 'softmax', 'sigmoid')
# The pooling that the operator has.
POOLED = {'kernel': '(3, 3)', 'pad': '(1, 1)', 'pool_type': 'avg'}


def join_attention(symbol):
    """``symbol`` with ``split_attention_float`` for each split attention, and for the 3×3 average pooling behind it.

    In ``symbol`` normalizations are folded (:func:`.folding.fold`) and split attention is ``split_attention_pool``,
    ``split_attention_sum`` and the layers between. Where one of them is of another kind, nothing changes.
    """
    outputs = from_symbol(symbol)
    readers, made = users(outputs), {}
    for total in walk(outputs):
        joined = _joined(total) if total.op == 'split_attention_sum' else None
        if joined:
            following = readers[id(total)]
            stride = _stride(following[0]) if len(following) == 1 else None
            if stride:
                joined.attrs['pooling'] = stride
            made[id(following[0] if stride else total)] = joined
    for node in walk(outputs):
        node.inputs = [(made.get(id(child), child), number) for child, number in node.inputs]
    return to_symbol([(made.get(id(node), node), number) for node, number in outputs])


def _joined(total):
    """The operator in the place of the node ``total``; None for other layers than it has."""
    fc2 = before(total.inputs[1][0], *SOFTMAX)
    relu = fc2.inputs[0][0] if _is_layer(fc2) else None
    if relu is None or relu.op != 'Activation' or relu.attrs['act_type'] != 'relu':
        return None
    fc1 = relu.inputs[0][0]
    if not _is_layer(fc1) or fc1.attrs.get('num_group') != fc2.attrs.get('num_group'):
        return None
    pool = fc1.inputs[0][0]
    if pool.op != 'split_attention_pool' or pool.inputs != total.inputs[:1]:
        return None
    attrs = {'radix': total.attrs['radix'], 'cardinality': fc1.attrs.get('num_group', '1')}
    source, number = total.inputs[0]
    if source.op == 'Reshape':
        source, number = source.inputs[0]
    return Node(JOINED, f'{total.name}_joined', attrs, [(source, number), *fc1.inputs[1:], *fc2.inputs[1:]])


def _is_layer(node):
    return node.op == 'Convolution' and len(node.inputs) == 3 and node.attrs['kernel'] == '(1, 1)'


def _stride(node):
    """The stride of a pooling that the operator has, in its own words; None for what else there is."""
    if node is None or node.op != 'Pooling' or any(node.attrs.get(name) != value for name, value in POOLED.items()) \
            or node.flag('global_pool') or node.attrs.get('pooling_convention', 'valid') != 'valid' \
            or not node.flag('count_include_pad', True):
        return None
    return {f'({stride}, {stride})': str(stride) for stride in range(1, 10)}.get(node.attrs.get('stride'))
