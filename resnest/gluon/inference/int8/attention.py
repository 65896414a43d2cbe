"""Split attention in an int8 network as one native operator."""
from resnest.gluon.graph import Node, before, output_name, walk

from ..passes.joining import SOFTMAX

__all__ = ['fuse_attention']


def fuse_attention(outputs, args, ranges):
    """Put ``split_attention_int8`` where an int8 network has left the attention in float32.

    mxnet's quantization turns ``convolution → split attention → convolution`` into a dequantization, the float32
    operators ``split_attention_pool``, ``split_attention_sum`` and the layers between, and a quantization, with
    perhaps an average pooling before it. From there to there it becomes one operator, and the pooling an int8 one.
    Where the convolution before it or after it is float32, nothing changes.

    ``outputs`` are those of :func:`resnest.gluon.graph.from_symbol`, with ``args`` the layers' weights by name and
    ``ranges`` those of :func:`.ranges.find_ranges`. Returns ``outputs``.
    """
    made = {}
    for node in walk(outputs):
        if node.op == '_contrib_quantize_v2':
            source = node.inputs[0][0]
            pooling = source if source.op == 'Pooling' else None
            total = source.inputs[0][0] if pooling else source
            attention = _attention(total, args, ranges) if total.op == 'split_attention_sum' else None
            if attention and pooling:
                attention = Node('_contrib_quantized_pooling', f'{pooling.name}_int8', pooling.attrs,
                                 [(attention, number) for number in range(3)])
            made[id(node)] = attention or node
    for node in walk(outputs):
        node.inputs = [(made.get(id(child), child), number) for child, number in node.inputs]
    return outputs


def _attention(total, args, ranges):
    """The int8 operator in the place of the node ``total``; None where its input is no int8 array, and for other
    layers than the operator has."""
    source = before(total.inputs[0][0], 'Reshape')
    scale = []
    if source.op == 'broadcast_mul':    # of equalize
        scale = source.inputs[1:]
        source = source.inputs[0][0]
    fc2 = before(total.inputs[1][0], *SOFTMAX)
    fc1 = fc2.inputs[0][0] if _is_layer(fc2, ()) else None
    if source.op != '_contrib_dequantize' or fc1 is None or not _is_layer(fc1, ('relu',)):
        return None
    pool = fc1.inputs[0][0]
    if pool.op != 'split_attention_pool' or pool.inputs != total.inputs[:1]:
        return None
    radix = int(total.attrs['radix'])
    channels = args[fc2.inputs[1][0].name].shape[0] // radix
    attrs = {'radix': radix, 'scaled': len(scale), 'cardinality': channels // args[fc1.inputs[1][0].name].shape[1],
             'range': max(map(abs, ranges[output_name(total.name)]))}
    return Node('split_attention_int8', f'{total.name}_int8', {name: str(value) for name, value in attrs.items()},
                [*source.inputs, *fc1.inputs[1:], *fc2.inputs[1:], *scale])


def _is_layer(node, activations):
    """Whether a node is a convolution with a bias that is fused with such activations and nothing else."""
    inside = [each for graph in node.subgraphs for each in walk(graph) if each.op != 'null']
    return (node.op == '_sg_mkldnn_conv' and len(node.inputs) == 3
            and [each.op for each in inside] == ['Convolution', *('Activation' for _ in activations)]
            and all(each.attrs['act_type'] == wanted for each, wanted in zip(inside[1:], activations)))
