"""The operators of optimized networks, and what may stand in their nodes: checked before mxnet sees a file's symbol.

mxnet trusts its symbols: an attribute out of range, a missing input or an array of another type ends the process, or
reads memory that is not its own. So each operator that the passes and oneDNN's fusions write has a row here, and
whatever else a file has is refused. Another operator in a network is another row.
"""
import re
from dataclasses import dataclass, field
from typing import Callable

from ..passes.graph import walk

__all__ = ['OPERATORS', 'check_node']

# What an entry of the graph holds; RANGE is the lower or upper end of an INT8 array, a number.
UINT8, FLOAT32, BFLOAT16, INT8, RANGE = 'uint8', 'float32', 'bfloat16', 'int8', 'range'
MOST_SPLITS = 64

COUNT, YES_OR_NO = r'[1-9]\d{0,5}', r'[Tt]rue|[Ff]alse'
NUMBER = r'-?\d{1,9}(\.\d{1,30})?(e-?\d\d)?'
PAIR, PADDING = r'\([1-9]\d?, ?[1-9]\d?\)', r'\(\d\d?, ?\d\d?\)'
COLOURS = rf'\({NUMBER}(, ?{NUMBER})*,?\)'


@dataclass(frozen=True)
class Operator:
    """A row: the attributes as patterns, those that must be there, and from inputs to outputs, as kinds.

    ``kinds(node, found)`` returns the kinds of the outputs of a node whose inputs have the kinds ``found``; it raises
    ValueError for others.
    """
    kinds: Callable
    attributes: dict = field(default_factory=dict)
    needed: tuple = ()
    fused: bool = False


def check_node(node, found):
    """The kinds of the outputs of a node, whose inputs have the kinds ``found``; raises ValueError that says why not.

    ``node.subgraphs`` of a fused node must be what its attributes say.
    """
    row = OPERATORS.get(node.op)
    if row is None:
        raise ValueError(f'no operator {node.op} is in what export writes')
    _check_attributes(node.attrs, row)
    if bool(node.subgraphs) != row.fused:
        raise ValueError('its subgraph is missing, or has no place there')
    return row.kinds(node, found)


def _check_attributes(attrs, row):
    for name, value in attrs.items():
        if name not in row.attributes or not isinstance(value, str) or len(value) > 200 \
                or not re.fullmatch(row.attributes[name], value):
            raise ValueError(f'no attribute {name} = {value}')
    for name in row.needed:
        if name not in attrs:
            raise ValueError(f'the attribute {name} is missing')
    if 'kernel' in attrs and attrs.get('global_pool') not in ('True', 'true'):
        sizes = {name: [int(side) for side in re.findall(r'\d+', attrs.get(name, default))]
                 for name, default in (('kernel', ''), ('pad', '(0, 0)'), ('dilate', '(1, 1)'))}
        if any(2 * pad > dilate * (kernel - 1) for kernel, pad, dilate in zip(*sizes.values())):
            raise ValueError('it pads more than its window needs')


def _takes(*wanted):
    """The kinds of the inputs must be these."""
    def check(found):
        if tuple(found) != wanted:
            raise ValueError(f'it reads {", ".join(found) or "nothing"} in the place of {", ".join(wanted)}')
    return check


def _plain(*wanted, makes=(FLOAT32,)):
    check = _takes(*wanted)

    def kinds(node, found):
        check(found)
        return makes
    return kinds


def _alike(count):
    """``count`` arrays of one of the two float types, and one of it made; the second and third of three are layers'."""
    def kinds(node, found):
        _takes(*[BFLOAT16 if BFLOAT16 in found[:1] else FLOAT32] * count)(found)
        return found[:1]
    return kinds


def _quantized(node, found):
    _takes(INT8, RANGE, RANGE)(found)
    _check_ranges(node, (0, 1, 2))
    return INT8, RANGE, RANGE


def _check_ranges(node, *places):
    """Each int8 array must come with its own range, from one node."""
    for place in places:
        sources = [node.inputs[each] for each in place]
        if [(id(child), output) for child, output in sources] != [(id(sources[0][0]), output) for output in range(3)]:
            raise ValueError('it reads an int8 array with the range of another')


def _check_limits(node):
    low, high = (node.attrs.get(name) for name in LIMITS)
    if low is None or high is None or not float(low) <= 0 <= float(high):
        raise ValueError(f'no range is from {low} to {high}')


def _quantize(node, found):
    _takes(FLOAT32)(found)
    _check_limits(node)
    return INT8, RANGE, RANGE


def _dequantize(node, found):
    _quantized(node, found)
    return (FLOAT32,)


def _split(node, found):
    _takes(FLOAT32)(found)
    count = int(node.attrs['num_outputs'])
    if count > MOST_SPLITS:
        raise ValueError(f'{count} splits')
    return (FLOAT32,) * count


def _slice(node, found):
    _takes(FLOAT32)(found)
    begin, end = (int(re.search(r'\d+', node.attrs[name])[0]) for name in ('begin', 'end'))
    if begin >= end:
        raise ValueError(f'nothing is from {begin} to {end}')
    return (FLOAT32,)


def _cast(node, found):
    if len(found) != 1 or found[0] not in (FLOAT32, BFLOAT16):
        raise ValueError('it casts floats alone')
    return (node.attrs['dtype'],)


def _attention(node, found):
    scaled = node.attrs['scaled'] == '1'
    _takes(INT8, RANGE, RANGE, *[FLOAT32] * (4 + scaled))(found)
    _check_ranges(node, (0, 1, 2))
    _check_parameters(node, 3, 7 + scaled)
    if not float(node.attrs['range']) > 0:
        raise ValueError('its range is empty')
    return INT8, RANGE, RANGE


def _check_parameters(node, first, last):
    if not all(child.is_parameter for child, _ in node.inputs[first:last]):
        raise ValueError('its weights are no parameters')


def _convolution(node, found):
    """oneDNN's, with what is fused to it; in int8 the ranges of its inputs come last."""
    _check_parameters(node, 1, 3)
    total, act, late = (node.flag(name) for name in ('with_sum', 'with_act', 'with_postsum_act'))
    if act and total or late and not total:
        raise ValueError('a fusion that oneDNN does not have')
    _check_inside(node, 'Convolution', ['add'] * total + ['Activation'] * (act or late))
    if not node.flag('quantized'):
        if 'min_calib_range' in node.attrs or 'max_calib_range' in node.attrs:
            raise ValueError('a range without an int8 array')
        return _alike(3 + total)(node, found)
    _check_limits(node)
    _takes(*[INT8, FLOAT32, FLOAT32, INT8, *[RANGE] * 4] if total else [INT8, FLOAT32, FLOAT32, RANGE, RANGE])(found)
    _check_ranges(node, *[(0, 4, 5), (3, 6, 7)] if total else [(0, 3, 4)])
    return INT8, RANGE, RANGE


def _dense(node, found):
    _check_parameters(node, 1, 3)
    _check_inside(node, 'FullyConnected', [])
    int8 = node.flag('quantized')
    if any(node.flag(name) != int8 for name in ('channel_wise_quantize', 'enable_float_output')):
        raise ValueError('an int8 layer whose output is no float')
    _takes(*[INT8, FLOAT32, FLOAT32, RANGE, RANGE] if int8 else [FLOAT32] * 3)(found)
    if int8:
        _check_ranges(node, (0, 3, 4))
    return (FLOAT32,)


def _check_inside(node, layer, following):
    """The subgraph must be the layer and what follows it, in this order, and its attributes those of their rows."""
    wanted = [('null', []), ('null', []), ('null', []), (layer, [0, 1, 2])]
    for name in following:
        if name == 'add':
            wanted += [('null', []), ('elemwise_add', [3, 4])]
        else:
            wanted.append((name, [len(wanted) - 1]))
    graph, = node.subgraphs
    nodes = walk(graph)
    places = {id(each): place for place, each in enumerate(nodes)}
    found = [(each.op, [places[id(child)] for child, _ in each.inputs]) for each in nodes]
    outputs = [*graph, *(entry for each in nodes for entry in each.inputs)]
    if found != wanted or len(graph) != 1 or any(number for _, number in outputs):
        raise ValueError('its subgraph is not what its attributes say')
    for each in nodes:
        if each.op != 'null':
            _check_attributes(each.attrs, INSIDE[each.op])


WINDOW = {'kernel': PAIR, 'stride': PAIR, 'pad': PADDING, 'layout': 'NCHW'}
POOLING = {**WINDOW, 'global_pool': YES_OR_NO, 'pool_type': 'avg|max', 'pooling_convention': 'valid|full',
           'count_include_pad': YES_OR_NO}
LIMITS = {'min_calib_range': NUMBER, 'max_calib_range': NUMBER}
RADIX = {'radix': r'[1-9]\d?'}
INSIDE = {
    'Convolution': Operator(None, {**WINDOW, 'dilate': PAIR, 'num_filter': COUNT, 'num_group': COUNT,
                                   'no_bias': '[Ff]alse'}, ('kernel', 'num_filter', 'no_bias')),
    'FullyConnected': Operator(None, {'num_hidden': COUNT, 'flatten': YES_OR_NO, 'no_bias': '[Ff]alse'},
                               ('num_hidden', 'no_bias')),
    'Activation': Operator(None, {'act_type': 'relu'}, ('act_type',)),
    'elemwise_add': Operator(None),
}
OPERATORS = {
    '_image_to_tensor': Operator(_plain(UINT8)),
    '_image_normalize': Operator(_plain(FLOAT32), {'mean': COLOURS, 'std': COLOURS}),
    '_sg_mkldnn_conv': Operator(_convolution, {**LIMITS, **dict.fromkeys(
        ('quantized', 'with_act', 'with_sum', 'with_postsum_act'), YES_OR_NO)}, fused=True),
    '_sg_mkldnn_fully_connected': Operator(_dense, dict.fromkeys(
        ('quantized', 'channel_wise_quantize', 'enable_float_output'), YES_OR_NO), fused=True),
    'Pooling': Operator(_alike(1), POOLING, ('kernel', 'pool_type')),
    'elemwise_add': Operator(_alike(2)),
    'elemwise_sub': Operator(_alike(2)),
    'broadcast_mul': Operator(_plain(FLOAT32, FLOAT32)),
    'Flatten': Operator(_plain(FLOAT32)),
    'sigmoid': Operator(_plain(FLOAT32)),
    'softmax': Operator(_plain(FLOAT32), {'axis': '2'}, ('axis',)),
    'transpose': Operator(_plain(FLOAT32), {'axes': r'\(0, 2, 1, 3\)'}, ('axes',)),
    'Reshape': Operator(_plain(FLOAT32), {'shape': rf'\(0, -1, 1, 1\)|\(0, 0, 0, 0\)|\(0, {COUNT}, {COUNT}, -1\)'},
                        ('shape',)),
    'SliceChannel': Operator(_split, {'axis': '1', 'num_outputs': COUNT}, ('num_outputs',)),
    'slice': Operator(_slice, dict.fromkeys(('begin', 'end'), r'\(None, \d{1,6}\)'), ('begin', 'end')),
    'amp_cast': Operator(_cast, {'dtype': f'{FLOAT32}|{BFLOAT16}'}, ('dtype',)),
    'split_attention_pool': Operator(_plain(FLOAT32), RADIX, ('radix',)),
    'split_attention_sum': Operator(_plain(FLOAT32, FLOAT32), RADIX, ('radix',)),
    'split_attention_int8': Operator(_attention, {**RADIX, 'cardinality': COUNT, 'scaled': '[01]', 'range': NUMBER},
                                     ('radix', 'cardinality', 'scaled', 'range')),
    '_contrib_quantize_v2': Operator(_quantize, {**LIMITS, 'out_type': 'auto'}, ('out_type',)),
    '_contrib_dequantize': Operator(_dequantize),
    '_contrib_quantized_pooling': Operator(_quantized, POOLING, ('kernel', 'pool_type')),
    '_contrib_quantized_flatten': Operator(_quantized),
}
