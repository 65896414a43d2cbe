"""oneDNN's layers, with what is fused to them: their subgraphs must be what their attributes say."""
from resnest.gluon.graph import walk

from .checks import (
    COUNT,
    FLOAT32,
    INT8,
    NUMBER,
    PAIR,
    RANGE,
    WINDOW,
    YES_OR_NO,
    Operator,
    alike,
    check_attributes,
    check_limits,
    check_parameters,
    check_ranges,
    takes,
)

__all__ = ['convolution', 'dense']

FUSED = ('Activation', 'clip', 'LeakyReLU')
INSIDE = {
    'Convolution': Operator(None, {**WINDOW, 'dilate': PAIR, 'num_filter': COUNT, 'num_group': COUNT,
                                   'no_bias': YES_OR_NO}, ('kernel', 'num_filter', 'no_bias')),
    'FullyConnected': Operator(None, {'num_hidden': COUNT, 'flatten': YES_OR_NO, 'no_bias': YES_OR_NO},
                               ('num_hidden', 'no_bias')),
    'Activation': Operator(None, {'act_type': 'relu|sigmoid'}, ('act_type',)),
    'clip': Operator(None, {'a_min': r'0(\.0)?', 'a_max': r'\d{1,9}(\.\d{1,30})?'}, ('a_min', 'a_max')),
    'LeakyReLU': Operator(None, {'act_type': 'leaky|elu', 'slope': NUMBER}, ('act_type',)),
    'elemwise_add': Operator(None),
}


def convolution(node, found):
    """oneDNN's, with what is fused to it; in int8 the ranges of its inputs come last."""
    total, act, late = (node.flag(name) for name in ('with_sum', 'with_act', 'with_postsum_act'))
    if act and total or late and not total:
        raise ValueError('a fusion that oneDNN does not have')
    bias = _check_inside(node, 'Convolution', ['add'] * total + ['act'] * (act or late))
    check_parameters(node, 1, 2 + bias)
    if not node.flag('quantized'):
        if 'min_calib_range' in node.attrs or 'max_calib_range' in node.attrs:
            raise ValueError('a range without an int8 array')
        return alike(2 + bias + total)(node, found)
    check_limits(node)
    weights = [FLOAT32] * (1 + bias)
    takes(*[INT8, *weights, INT8, *[RANGE] * 4] if total else [INT8, *weights, RANGE, RANGE])(found)
    end = 2 + bias
    check_ranges(node, *[(0, end + 1, end + 2), (end, end + 3, end + 4)] if total else [(0, end, end + 1)])
    return INT8, RANGE, RANGE


def dense(node, found):
    int8, act = node.flag('quantized'), node.flag('with_eltwise')
    bias = _check_inside(node, 'FullyConnected', ['act'] * act)
    check_parameters(node, 1, 2 + bias)
    if int8 and act or any(node.flag(name) != int8 for name in ('channel_wise_quantize', 'enable_float_output')):
        raise ValueError('an int8 layer whose output is no float')
    weights = [FLOAT32] * (1 + bias)
    takes(*[INT8, *weights, RANGE, RANGE] if int8 else [FLOAT32, *weights])(found)
    if int8:
        check_ranges(node, (0, 2 + bias, 3 + bias))
    return (FLOAT32,)


def _check_inside(node, layer, following):
    """The subgraph must be the layer and what follows it, in this order, and its attributes those of their rows.

    Returns whether the layer has a bias.
    """
    graph, = node.subgraphs
    nodes = walk(graph)
    first = next((each for each in nodes if each.op == layer), None)
    bias = first is None or not first.flag('no_bias')
    wanted = [('null', [])] * (2 + bias) + [(layer, list(range(2 + bias)))]
    for name in following:
        if name == 'add':
            wanted += [('null', []), ('elemwise_add', [len(wanted) - 1, len(wanted)])]
        else:
            wanted.append((next((each.op for each in nodes if each.op in FUSED), 'Activation'), [len(wanted) - 1]))
    places = {id(each): place for place, each in enumerate(nodes)}
    found = [(each.op, [places[id(child)] for child, _ in each.inputs]) for each in nodes]
    outputs = [*graph, *(entry for each in nodes for entry in each.inputs)]
    if found != wanted or len(graph) != 1 or any(number for _, number in outputs):
        raise ValueError('its subgraph is not what its attributes say')
    for each in nodes:
        if each.op != 'null':
            check_attributes(each.attrs, INSIDE[each.op])
    return bias
