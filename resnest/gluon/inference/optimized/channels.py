"""How many channels the arrays of an optimized network have, wherever mxnet itself does not look.

BatchNorm takes its parameters for as long as the channels are, and reads behind their end where they are not; Concat
makes arrays of any size. So both need inputs whose channels are known, and the same at any image size.
"""
from resnest.gluon.graph import walk

__all__ = ['count_channels']

MOST_CHANNELS = 10 ** 6
# The output has the channels of the inputs, or those of the one that is not 1.
ALIKE = ('Activation', 'LeakyReLU', 'Pooling', '_contrib_dequantize', '_contrib_quantize_v2',
         '_contrib_quantized_pooling', '_image_normalize', '_image_to_tensor', 'amp_cast', 'broadcast_add',
         'broadcast_mul', 'clip', 'elemwise_add', 'elemwise_mul', 'elemwise_sub', 'relu', 'sigmoid', 'tanh')
# The output has the channels of the first input, whatever the others have.
FIRST = ('broadcast_like', 'dot', 'resize_map')
FIXED = {'_sg_mkldnn_conv': 'num_filter', '_sg_mkldnn_fully_connected': 'num_hidden'}


def count_channels(node, known, shapes):
    """The channels of the first output of a node, None where they are not known.

    ``known`` has those of the nodes before by their ids, the images' among them; ``shapes`` the parameters' shapes by
    name. Raises ValueError for a Concat or a BatchNorm whose channels are unknown, too many or other than its
    parameters.
    """
    found = [known.get(id(child)) for child, _ in node.inputs]
    if node.op in FIXED:
        layer = next(each for each in walk(node.subgraphs[0]) if FIXED[node.op] in each.attrs)
        return int(layer.attrs[FIXED[node.op]])
    if node.op == 'winograd_convolution':
        return shapes[node.inputs[2][0].name][0]
    if node.op == 'BatchNorm':
        if found[0] is None or any(shapes[child.name] != (found[0],) for child, _ in node.inputs[1:]):
            raise ValueError(f'it has parameters for other channels than {found[0] or "are known"}')
        return found[0]
    if node.op == 'Concat':
        if None in found or sum(found) > MOST_CHANNELS:
            raise ValueError('it joins channels whose number is not known, or too many')
        return sum(found)
    if node.op in FIRST or node.attrs.get('axes') == '(0, 1, 3, 2)':
        return found[0]
    return max(found) if node.op in ALIKE and found and None not in found else None
