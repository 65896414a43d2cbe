"""Split attention in an int8 network as one native operator."""
from ..passes.graph import Node, walk

__all__ = ['fuse_attention']


def fuse_attention(outputs, args, ranges):
    """Put ``split_attention_int8`` where an int8 network has left the attention in float32.

    mxnet's quantization turns ``convolution → split attention → convolution`` into a dequantization, the float32
    operators ``split_attention_pool``, ``split_attention_sum`` and the layers between, and a quantization, with
    perhaps an average pooling before it. From there to there it becomes one operator, and the pooling an int8 one.
    Where the convolution before it or after it is float32, nothing changes.

    ``outputs`` are those of :func:`..passes.graph.from_symbol`, with ``args`` the layers' weights by name and
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
    source = total.inputs[0][0]
    while source.op == 'Reshape':
        source = source.inputs[0][0]
    scale = []
    if source.op == 'broadcast_mul':    # of equalize
        scale = source.inputs[1:]
        source = source.inputs[0][0]
    if source.op != '_contrib_dequantize':
        return None
    # Backwards from the weights of the splits, the first two convolutions are the layers of the attention.
    *_, fc1, fc2 = (node for node in walk(total.inputs[1:]) if node.op == '_sg_mkldnn_conv' and len(node.inputs) == 3)
    if fc2.inputs[0][0] is not fc1:     # a normalization that is not folded
        return None
    radix = int(total.attrs['radix'])
    channels = args[fc2.inputs[1][0].name].shape[0] // radix
    attrs = {'radix': radix, 'scaled': len(scale), 'cardinality': channels // args[fc1.inputs[1][0].name].shape[1],
             'range': max(map(abs, ranges[f'{total.name}_output']))}
    return Node('split_attention_int8', f'{total.name}_int8', {name: str(value) for name, value in attrs.items()},
                [*source.inputs, *fc1.inputs[1:], *fc2.inputs[1:], *scale])
