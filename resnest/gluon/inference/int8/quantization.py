"""int8 networks: mxnet's quantization over oneDNN, with the layers that it harms left in float32.

Weights are quantized channel by channel, activations with ranges from calibration images. Nothing but mxnet's own
operators is in the result, unless ``native`` puts the fused split attention in.
"""
import mxnet as mx
import numpy as np
from mxnet.contrib.quantization import calib_graph, quantize_graph

from resnest.errors import InputError

from ..passes.graph import from_symbol, to_symbol, vectors, walk
from .attention import fuse_attention
from .equalization import equalize
from .ranges import find_ranges, run
from .sensitivity import layers_by_harm

__all__ = ['quantize']

BACKEND = 'MKLDNN_QUANTIZE'     # oneDNN's fusions, before and after mxnet's quantization
CONVOLUTION, DENSE = '_sg_mkldnn_conv', '_sg_mkldnn_fully_connected'
REFINEMENTS = 3


def quantize(symbol, args, aux, calibration, mode='naive', native=False, agreement=0.995):
    """An int8 network from a float32 one.

    Layers are left in float32, the one that int8 harms most first, until the first class is the float32 network's for
    enough of the calibration images. That takes at most some ten trials; the last one leaves every layer.

    Parameters
    ----------
    symbol : Symbol
        With the input ``data``; batch normalizations folded (:func:`..passes.folding.fold`). For ``native``, split
        attention must be the native operators.
    args, aux : dict of NDArray
        Its parameters.
    calibration : list of NDArray
        Batches of inputs, at least one.
    mode : 'naive' or 'entropy'
        How ranges are found: the extremes that the calibration images reach, or the best bound for their distribution.
    native : bool
        Whether to fuse split attention into one int8 operator, ``split_attention_int8``, which must be loaded.
    agreement : float
        The share of the calibration images to agree on; 0 quantizes every layer.

    Returns ``(symbol, args, aux, report)``. The report is a dict: ``calibration_mode``, ``calibration_images``,
    ``top1_agreement``, ``int8_layers`` (their number), ``in_float32`` (names of the layers that were left) and
    ``attention_layers_in_float32`` (the number of the attention's layers after the pooling, which always are).
    Raises InputError for a calibration set that is empty or gives values that are not finite.
    """
    if not calibration:
        raise InputError('int8 needs calibration images: the calibration set is empty')
    symbol, args = equalize(symbol, args)
    plan = _Plan(symbol, args, aux, calibration, mode, native)
    found = plan.trial([])
    if found.agreement < agreement:
        found = _search(plan, found, agreement)
    return found.symbol, found.args, found.aux, {
        'calibration_mode': mode, 'calibration_images': len(plan.classes), 'top1_agreement': found.agreement,
        'int8_layers': len(plan.layers) - len(found.left),
        'in_float32': [plan.layers[name] for name in plan.layers if name in found.left],
        'attention_layers_in_float32': len(plan.fixed)}


def _search(plan, worst, agreement):
    """The trial that leaves few layers and agrees: twice as many each time, then back between the last two."""
    groups = layers_by_harm(plan, worst)

    def trial(count):
        return plan.trial({name for group in groups[:count] for name in group})

    low, high = 0, 1
    while (found := trial(high)).agreement < agreement and high < len(groups):
        low, high = high, min(2 * high, len(groups))
    for _ in range(REFINEMENTS):
        middle = (low + high) // 2
        if middle == low:
            break
        between = trial(middle)
        if between.agreement >= agreement:
            found, high = between, middle
        else:
            low = middle
    return found


class _Plan:
    """A float32 network, its ranges, and what has been tried on it."""

    def __init__(self, symbol, args, aux, batches, mode, native):
        self.symbol = symbol.get_backend_symbol(BACKEND)
        self.args, self.aux, self.batches, self.native = args, aux, batches, native
        outputs = from_symbol(self.symbol)
        nodes, pooled = walk(outputs), vectors(outputs)
        # Convolutions of pooled maps take no time, and the attention hangs on them.
        self.fixed = [node.name for node in nodes if node.op == CONVOLUTION and id(node) in pooled]
        # The layers that can be quantized, from the fused node's name to the layer's own.
        self.layers = {node.name: node.inputs[1][0].name.rpartition('.')[0] or node.name for node in nodes
                       if node.op in (CONVOLUTION, DENSE) and node.name not in self.fixed}
        names = {'data'} | {f'{node.name}_output' for node in nodes
                            if node.name in self.layers or node.op == 'split_attention_sum'}
        names |= {f'{child.name}_output' for node in nodes if node.name in self.layers
                  for child, _ in node.inputs if child.op != 'null'}
        self.ranges, logits = find_ranges(self.symbol, args, aux, batches, names, mode)
        self.classes = logits.argmax(axis=1)

    def trial(self, left):
        return _Trial(self, frozenset(left))


class _Trial:
    """The network with the layers ``left`` in float32."""

    def __init__(self, plan, left):
        self.left = left
        symbol, args, aux, collector = quantize_graph(
            plan.symbol, plan.args, plan.aux, ctx=mx.cpu(), excluded_sym_names=sorted({*plan.fixed, *left}),
            calib_mode='customize', LayerOutputCollector=_Ranges(plan.ranges), quantized_dtype='auto',
            quantize_mode='smart', quantize_granularity='channel-wise', logger=None)
        symbol, args, aux = calib_graph(symbol, plan.args, aux, collector, calib_mode='customize',
                                        quantized_dtype='auto', logger=None)
        self.symbol = symbol.get_backend_symbol(BACKEND)
        if plan.native:
            self.symbol = to_symbol(fuse_attention(from_symbol(self.symbol), plan.args, plan.ranges))
        known = {**plan.args, **args}
        self.args = {name: known[name] for name in self.symbol.list_arguments() if name != 'data'}
        self.aux = {name: aux[name] for name in self.symbol.list_auxiliary_states()}
        classes = run(self.symbol, self.args, self.aux, plan.batches).argmax(axis=1)
        self.agreement = float(np.mean(classes == plan.classes))


class _Ranges:
    """What mxnet calls a collector."""

    def __init__(self, ranges):
        self.min_max_dict = ranges

