"""The operators of optimized networks, and what may stand in their nodes: checked before mxnet sees a file's symbol.

mxnet trusts its symbols: an attribute out of range, a missing input or an array of another type ends the process, or
reads memory that is not its own. So each operator that the passes and oneDNN's fusions write has a row here, and
whatever else a file has is refused. Another operator in a network is another row.
"""
import re

from .checks import (
    BFLOAT16,
    COLUMN,
    COUNT,
    FLOAT32,
    INT8,
    LAST,
    LIMITS,
    NUMBER,
    PAIR,
    POSITIONS,
    RANGE,
    ROW,
    SHARES,
    UINT8,
    WINDOW,
    YES_OR_NO,
    Operator,
    alike,
    check_attributes,
    check_limits,
    check_parameters,
    check_ranges,
    either,
    plain,
    takes,
)
from .fused import convolution, dense

__all__ = ['OPERATORS', 'check_node']

MOST_SPLITS = 64
SIDES = {'(-1, 1)': COLUMN, '(1, -1)': ROW}
COLOURS = rf'\({NUMBER}(, ?{NUMBER})*,?\)'


def check_node(node, found):
    """The kinds of the outputs of a node, whose inputs have the kinds ``found``; raises ValueError that says why not.

    ``node.subgraphs`` of a fused node must be what its attributes say.
    """
    row = OPERATORS.get(node.op)
    if row is None:
        raise ValueError(f'no operator {node.op} is in what export writes')
    check_attributes(node.attrs, row)
    if bool(node.subgraphs) != row.fused:
        raise ValueError('its subgraph is missing, or has no place there')
    return row.kinds(node, found)


def _quantized(node, found):
    takes(INT8, RANGE, RANGE)(found)
    check_ranges(node, (0, 1, 2))
    return INT8, RANGE, RANGE


def _quantize(node, found):
    takes(FLOAT32)(found)
    check_limits(node)
    return INT8, RANGE, RANGE


def _dequantize(node, found):
    _quantized(node, found)
    return (FLOAT32,)


def _split(node, found):
    takes(FLOAT32)(found)
    count = int(node.attrs['num_outputs'])
    if count > MOST_SPLITS:
        raise ValueError(f'{count} splits')
    return (FLOAT32,) * count


def _slice(node, found):
    takes(FLOAT32)(found)
    begin, end = (int(re.search(r'\d+', node.attrs[name])[0]) for name in ('begin', 'end'))
    if begin >= end:
        raise ValueError(f'nothing is from {begin} to {end}')
    return (FLOAT32,)


def _reshape(node, found):
    side = SIDES.get(node.attrs['shape'])
    takes(POSITIONS if side else FLOAT32)(found)
    return (side or FLOAT32,)


def _cast(node, found):
    if len(found) != 1 or found[0] not in (FLOAT32, BFLOAT16):
        raise ValueError('it casts floats alone')
    return (node.attrs['dtype'],)


def _attention(node, found):
    scaled = node.attrs['scaled'] == '1'
    takes(INT8, RANGE, RANGE, *[FLOAT32] * (4 + scaled))(found)
    check_ranges(node, (0, 1, 2))
    check_parameters(node, 3, 7 + scaled)
    if not float(node.attrs['range']) > 0:
        raise ValueError('its range is empty')
    return INT8, RANGE, RANGE


def _joined(node, found):
    takes(BFLOAT16 if BFLOAT16 in found[:1] else FLOAT32, *[FLOAT32] * 4)(found)
    check_parameters(node, 1, 5)
    return found[:1]


def _winograd(node, found):
    takes(*[FLOAT32] * 3)(found)
    check_parameters(node, 1, 3)
    return (FLOAT32,)


def _normalization(node, found):
    takes(*[FLOAT32] * 5)(found)
    check_parameters(node, 1, 5)
    return (FLOAT32,)


def _deconvolution(node, found):
    takes(*[FLOAT32] * (2 + (not node.flag('no_bias'))))(found)
    check_parameters(node, 1, len(found))
    return (FLOAT32,)


def _concat(node, found):
    takes(*[FLOAT32] * int(node.attrs['num_args']))(found)
    return (FLOAT32,)


POOLING = {**WINDOW, 'global_pool': YES_OR_NO, 'pool_type': 'avg|max', 'pooling_convention': 'valid|full',
           'count_include_pad': YES_OR_NO}
RADIX = {'radix': r'[1-9]\d?'}
OPERATORS = {
    '_image_to_tensor': Operator(plain(UINT8)),
    '_image_normalize': Operator(plain(FLOAT32), {'mean': COLOURS, 'std': COLOURS}),
    '_sg_mkldnn_conv': Operator(convolution, {**LIMITS, **dict.fromkeys(
        ('quantized', 'with_act', 'with_sum', 'with_postsum_act'), YES_OR_NO)}, fused=True),
    '_sg_mkldnn_fully_connected': Operator(dense, dict.fromkeys(
        ('quantized', 'channel_wise_quantize', 'enable_float_output', 'with_eltwise'), YES_OR_NO), fused=True),
    'Pooling': Operator(alike(1), POOLING, ('kernel', 'pool_type')),
    'elemwise_add': Operator(alike(2)),
    'elemwise_sub': Operator(alike(2)),
    **dict.fromkeys(('broadcast_add', 'elemwise_mul'), Operator(plain(FLOAT32, FLOAT32))),
    'broadcast_mul': Operator(either(((POSITIONS, LAST), POSITIONS), ((FLOAT32, FLOAT32), FLOAT32))),
    **dict.fromkeys(('Flatten', 'sigmoid', 'tanh'), Operator(plain(FLOAT32))),
    'relu': Operator(either(((SHARES,), SHARES), ((FLOAT32,), FLOAT32))),
    'Activation': Operator(alike(1), {'act_type': 'relu|sigmoid|tanh|softrelu|softsign'}, ('act_type',)),
    'LeakyReLU': Operator(plain(FLOAT32), {'act_type': 'leaky|elu|gelu', 'slope': NUMBER}, ('act_type',)),
    'clip': Operator(plain(FLOAT32), {'a_min': NUMBER, 'a_max': NUMBER}, ('a_min', 'a_max')),
    'BatchNorm': Operator(_normalization, {
        **dict.fromkeys(('eps', 'momentum'), NUMBER), 'axis': '1',
        **dict.fromkeys(('fix_gamma', 'use_global_stats'), YES_OR_NO)}),
    'Deconvolution': Operator(_deconvolution, {
        **WINDOW, 'dilate': PAIR, 'adj': r'\([01], ?[01]\)', 'num_filter': COUNT, 'num_group': '1',
        'no_bias': YES_OR_NO}, ('kernel', 'num_filter', 'no_bias')),
    'Concat': Operator(_concat, {'dim': '1', 'num_args': r'[1-9]\d{0,2}'}, ('num_args',)),
    'softmax': Operator(plain(FLOAT32), {'axis': '2'}, ('axis',)),
    'transpose': Operator(plain(FLOAT32), {'axes': r'\(0, 2, 1, 3\)|\(0, 1, 3, 2\)'}, ('axes',)),
    'Reshape': Operator(_reshape, {'shape': rf'\(0, -1, 1, 1\)|\(0, 0, 0, 0\)|\(0, {COUNT}, {COUNT}, -1\)|' +
                                            '|'.join(map(re.escape, SIDES))}, ('shape',)),
    'SliceChannel': Operator(_split, {'axis': '1', 'num_outputs': COUNT}, ('num_outputs',)),
    'slice': Operator(_slice, dict.fromkeys(('begin', 'end'), r'\(None, \d{1,6}\)'), ('begin', 'end')),
    'amp_cast': Operator(_cast, {'dtype': f'{FLOAT32}|{BFLOAT16}'}, ('dtype',)),
    'split_attention_pool': Operator(plain(FLOAT32), RADIX, ('radix',)),
    'split_attention_sum': Operator(plain(FLOAT32, FLOAT32), RADIX, ('radix',)),
    'split_attention_float': Operator(_joined, {**RADIX, 'cardinality': COUNT, 'pooling': '[1-9]'},
                                      ('radix', 'cardinality')),
    'winograd_convolution': Operator(_winograd, {'groups': COUNT, 'relu': '[01]', 'dilation': '[1-9]'},
                                     ('groups', 'relu')),
    'split_attention_int8': Operator(_attention, {**RADIX, 'cardinality': COUNT, 'scaled': '[01]', 'range': NUMBER},
                                     ('radix', 'cardinality', 'scaled', 'range')),
    'resize_map': Operator(plain(FLOAT32, FLOAT32)),
    'broadcast_like': Operator(plain(FLOAT32, FLOAT32), dict.fromkeys(('lhs_axes', 'rhs_axes'), r'\(2, 3\)'),
                               ('lhs_axes', 'rhs_axes')),
    '_contrib_arange_like': Operator(plain(FLOAT32, makes=(POSITIONS,)), {'axis': '[23]'}, ('axis',)),
    'max': Operator(plain(POSITIONS, makes=(LAST,))),
    '_maximum_scalar': Operator(plain(LAST, makes=(LAST,)), {'scalar': '1'}, ('scalar',)),
    'broadcast_div': Operator(plain(POSITIONS, LAST, makes=(POSITIONS,))),
    'broadcast_sub': Operator(plain(COLUMN, ROW, makes=(SHARES,))),
    'abs': Operator(plain(SHARES, makes=(SHARES,))),
    '_rminus_scalar': Operator(plain(SHARES, makes=(SHARES,)), {'scalar': '1'}, ('scalar',)),
    'dot': Operator(plain(FLOAT32, SHARES), {'transpose_b': 'True'}, ('transpose_b',)),
    '_contrib_quantize_v2': Operator(_quantize, {**LIMITS, 'out_type': 'auto'}, ('out_type',)),
    '_contrib_dequantize': Operator(_dequantize),
    '_contrib_quantized_pooling': Operator(_quantized, POOLING, ('kernel', 'pool_type')),
    '_contrib_quantized_flatten': Operator(_quantized),
}
