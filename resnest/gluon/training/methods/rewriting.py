"""A network whose traced graph is rewritten before it is trained on a CPU: the same parameters, computed otherwise."""
import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from resnest.gluon.graph import SHAPE, from_symbol, to_symbol, walk
from resnest.gluon.nn.native import load

from .fusing import ADD_RELU, fused
from .low_precision import in_bfloat16
from .winograd import WINOGRAD, with_winograd

__all__ = ['Rewritten', 'for_cpu']


def for_cpu(net, dtype, native=True, same_shapes=True):
    """``net`` as it is trained on CPUs in ``dtype``, 'float32' or 'bfloat16'; hybridize what is returned.

    Native operators take part where ``native`` says so and they can be loaded; ``same_shapes`` says whether all batches
    have the shapes of the first. A block that is traced in parts, as a detector's, stays what it is in float32, and so
    does one with parameters of another type.
    """
    rewrites = [in_bfloat16] if dtype == 'bfloat16' else []
    native = native and isinstance(net, HybridBlock) and all(np.dtype(param.dtype) == np.float32
                                                             for param in net.collect_params().values())
    if native and dtype == 'float32' and load(name=WINOGRAD):
        rewrites.append(with_winograd)
    if native and load(name=ADD_RELU):
        rewrites.append(fused)
    return Rewritten(net, rewrites, same_shapes) if rewrites else net


class Rewritten(HybridBlock):
    """``net`` with its traced graph changed by functions, each from the graph's outputs to new ones.

    Outputs are what :func:`resnest.gluon.graph.from_symbol` has of the graph, and a function may change its nodes in
    place. Its variables bear their shapes, inputs too where those of the first batch are the ``same_shapes`` as all
    others'. Hybridize the block: without a trace it is ``net`` itself. Its parameters are those of ``net``.
    """

    def __init__(self, net, rewrites, same_shapes=True):
        super().__init__()
        self.net = net
        self._rewrites, self._same_shapes, self._shapes = rewrites, same_shapes, []

    def forward(self, *inputs):
        if self._same_shapes:
            self._shapes = [getattr(each, 'shape', None) for each in inputs]     # a symbol has none
        return super().forward(*inputs)

    def hybrid_forward(self, F, *inputs):
        outputs = self.net(*inputs)
        if F is mx.nd:
            return outputs
        graph = from_symbol(mx.sym.Group(list(_flatten(outputs))))
        shapes = {each.name: str(shape) for each, shape in zip(inputs, self._shapes) if shape}
        found = [node for node in walk(graph) if node.op == 'null' and node.name in shapes]
        for node in found:
            node.attrs[SHAPE] = shapes[node.name]
        for rewrite in self._rewrites:
            graph = rewrite(graph)
        for node in found:      # a later batch may have other ones all the same
            del node.attrs[SHAPE]
        return _like(outputs, iter(to_symbol(graph)))


def _flatten(outputs):
    """The symbols in what a network returns, a symbol or lists of them."""
    if isinstance(outputs, (list, tuple)):
        for each in outputs:
            yield from _flatten(each)
    else:
        yield outputs


def _like(outputs, symbols):
    """The next of ``symbols`` in the places of those in ``outputs``."""
    if isinstance(outputs, (list, tuple)):
        return tuple(_like(each, symbols) for each in outputs)
    return next(symbols)
