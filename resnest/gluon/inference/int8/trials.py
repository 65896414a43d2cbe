"""The two networks that quantization compares: the float32 one with its ranges, and an int8 one made from it."""
import mxnet as mx
import numpy as np
from mxnet.contrib.quantization import calib_graph, quantize_graph

from resnest.gluon.graph import INPUT, from_symbol, output_name, to_symbol, vectors, walk

from .attention import fuse_attention
from .ranges import find_ranges, first_classes, run

__all__ = ['Reference', 'Trial']

BACKEND = 'MKLDNN_QUANTIZE'     # oneDNN's fusions, before and after mxnet's quantization
CONVOLUTION, DENSE = '_sg_mkldnn_conv', '_sg_mkldnn_fully_connected'
JOINS = 'Concat', 'elemwise_add'        # those sums that no convolution does


class Reference:
    """A float32 network, fused, with what calibration images show of it.

    ``layers``
        The layers that can be quantized, in the order in which they run: from the node's name to the layer's own.
    ``reads``
        For each of them the set of those whose outputs it reads, through whatever is between.
    ``fixed``
        Names of the nodes that stay in float32 always: convolutions of pooled maps, the attention's, and the one that
        makes a map of logits.
    ``joins``
        Names of the nodes that join arrays or add them, in float32 too: each array has a range of its own.
    ``ranges``
        See :func:`.ranges.find_ranges`.
    ``signed_sums``
        See :func:`_signed_sums`.
    ``classes``
        The first class of each calibration image, NumPy; None for a network without logits.

    Takes the arguments of :func:`.quantization.quantize`. Raises InputError for values that are not finite.
    """

    def __init__(self, symbol, args, aux, batches, mode, native):
        self.symbol = symbol.get_backend_symbol(BACKEND)
        self.args, self.aux, self.batches, self.native = args, aux, batches, native
        outputs = from_symbol(self.symbol)
        nodes, pooled = walk(outputs), vectors(outputs)
        # Convolutions of pooled maps take no time, and the attention hangs on them; logits that are resized, which
        # begins with a transposition, would be whole numbers of steps.
        still = pooled | {id(child) for node in nodes if node.op == 'transpose' for child, _ in node.inputs}
        self.fixed = [node.name for node in nodes if node.op == CONVOLUTION and id(node) in still]
        self.joins = [node.name for node in nodes if node.op in JOINS]
        layers = [node for node in nodes if node.op in (CONVOLUTION, DENSE) and node.name not in self.fixed]
        self.layers = {node.name: node.layer for node in layers}
        self.reads = _readings(nodes, self.layers)
        names = {INPUT} | {output_name(node.name) for node in nodes if node.op == 'split_attention_sum'}
        for node in layers:
            # Of two names of what it reads one is there.
            names |= {output_name(node.name), *(output_name(child.name, which) for child, number in node.inputs
                                                for which in ('', number))}
        self.ranges, found = find_ranges(self.symbol, args, aux, batches, names, mode)
        self.classes = first_classes(found, batches[0])
        self.signed_sums = _signed_sums(layers, self.ranges)

    def watch(self, batch, see):
        """Run the network on ``batch``; ``see(layer, output)`` is called with a node's name and its output, NumPy."""
        names = {output_name(name): name for name in self.layers}

        def seen(name, array):
            if name in names:
                see(names[name], array.asnumpy())

        run(self.symbol, self.args, self.aux, [batch], seen)


class Trial:
    """The network of a :class:`Reference` in int8, but for the layers ``left`` (names of nodes).

    ``symbol``, ``args``, ``aux``
        The network.
    ``agreement``
        The share of the calibration images whose first class is the reference's; None for a network without logits.
    """

    def __init__(self, reference, left=()):
        self.left = frozenset(left)
        self._ranges = {**reference.ranges, **{
            name: (low, 2 * high) for name in map(output_name, reference.signed_sums - self.left)
            for low, high in [reference.ranges[name]]}}
        self._layers = reference.layers
        symbol, args, aux, collector = quantize_graph(
            reference.symbol, reference.args, reference.aux, ctx=mx.cpu(),
            excluded_sym_names=sorted({*reference.fixed, *reference.joins, *left}), calib_mode='customize',
            LayerOutputCollector=_Collector(self._ranges), quantized_dtype='auto', quantize_mode='smart',
            quantize_granularity='channel-wise', logger=None)
        symbol, args, aux = calib_graph(symbol, reference.args, aux, collector, calib_mode='customize',
                                        quantized_dtype='auto', logger=None)
        self.symbol = _real_once(symbol).get_backend_symbol(BACKEND)
        if reference.native:
            self.symbol = to_symbol(fuse_attention(from_symbol(self.symbol), reference.args, reference.ranges))
        known = {**reference.args, **args}
        self.args = {name: known[name] for name in self.symbol.list_arguments() if name != INPUT}
        self.aux = {name: aux[name] for name in self.symbol.list_auxiliary_states()}
        self.agreement = None
        if reference.classes is not None:
            classes = first_classes(run(self.symbol, self.args, self.aux, reference.batches), reference.batches[0])
            self.agreement = float(np.mean(classes == reference.classes))

    def watch(self, batch, see):
        """As :meth:`Reference.watch`, by the reference's names; an int8 array comes as the numbers it stands for."""
        # mxnet calls the quantized node of conv0 quantized_conv0.
        names = {output_name(made): name for name in self._layers for made in (name, f'quantized_{name}')}

        def seen(name, array):
            if name in names:
                see(names[name], _real(array.asnumpy(), self._ranges[output_name(names[name])]))

        run(self.symbol, self.args, self.aux, [batch], seen)


class _Collector:
    """What mxnet calls a collector."""

    def __init__(self, ranges):
        self.min_max_dict = ranges


def _signed_sums(layers, ranges):
    """Names of the convolutions that add an array with negative values, and end with a ReLU.

    oneDNN writes such a sum in the place, and in the type, of what is added, int8, and mxnet reads it as uint8: all
    above half of the range would be cut off. With a range of twice the width nothing is.
    """
    return {node.name for node in layers if node.flag('with_sum') and node.flag('with_postsum_act')
            and ranges[output_name(node.inputs[-1][0].name)][0] < 0}


def _real_once(symbol):
    """``symbol`` without a dequantization of what was dequantized.

    mxnet puts it behind an output of the network that is read as well, and crashes when it runs.
    """
    outputs, op = from_symbol(symbol), '_contrib_dequantize'

    def first(node, number):
        return node.inputs[0] if node.op == op and node.inputs[0][0].op == op else (node, number)

    for node in walk(outputs):
        node.inputs = [first(*entry) for entry in node.inputs]
    return to_symbol([first(*entry) for entry in outputs])


def _readings(nodes, layers):
    """For each layer the layers whose outputs it reads, through whatever is between."""
    sources, found = {}, {}
    for node in nodes:
        reads = set().union(*(sources[id(child)] for child, _ in node.inputs))
        if node.name in layers:
            found[node.name], reads = reads, {node.name}
        sources[id(node)] = reads
    return found


def _real(values, limits):
    """What the numbers of an int8 array stand for; float arrays as they are."""
    steps = {'uint8': 255.5, 'int8': 127.5}.get(values.dtype.name)
    return values if steps is None else values.astype(np.float32) * (max(map(abs, limits)) / steps)
