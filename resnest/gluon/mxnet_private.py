"""The private names of mxnet that this package uses, all in one place; known to be right for mxnet 1.9.1.

What mxnet offers in public is used where it is needed. What is here has no public counterpart; another version of
mxnet may have it under another name or not at all.
"""
import contextlib
import copyreg
import ctypes

import mxnet as mx
from mxnet.base import _LIB, check_call, mx_uint
from mxnet.gluon import HybridBlock, Parameter
from mxnet.ndarray.register import _make_ndarray_function
from mxnet.symbol.register import _make_symbol_function

__all__ = ['child_names', 'complete_gradients', 'expect_gradients', 'forget_trace', 'freeze_statistics', 'has_values',
           'load_value', 'make_optimizer_states', 'norm_settings', 'observe_outputs', 'onnx_converters',
           'onnx_graph_maker', 'optimizer_indices', 'optimizer_states', 'pending_average', 'rate_and_decay',
           'register_operators', 'remove_child', 'set_update_counts', 'structural_parameters', 'update_counts']


def structural_parameters(net):
    """``{name: Parameter}`` by the names under which ``net.save_parameters`` writes them: ``layer1.0.conv1.weight``."""
    return net._collect_params_with_prefix()


def child_names(net):
    """Names of a block's children, in their order."""
    return list(net._children)


def _no_trace(cached_op):
    return type(None), ()


def _parameter_parts(param):
    return _whole_parameter, ({**param.__dict__, '_trainer': None, '_grad': None},)


def _whole_parameter(state):
    param = Parameter.__new__(Parameter)
    param.__dict__.update(state)
    if param._data is not None and param._grad_req != 'null':
        param._init_grad()
    return param


# Blocks can be pickled and deep-copied. mxnet fails on what was traced of a hybridized block, which the copy traces
# again, and leaves the copy of a parameter without the tie to its gradient: it would never learn.
copyreg.pickle(mx.nd.CachedOp, _no_trace)
copyreg.pickle(Parameter, _parameter_parts)


def remove_child(net, name):
    """Take a child, where there is one, out of a block: its parameters, and what was traced with it."""
    if net._children.pop(name, None) is not None:
        delattr(net, name)
        net._clear_cached_op()


def has_values(param):
    """Whether a parameter has been initialized or loaded."""
    return param._data is not None


def load_value(param, value, ctx):
    """Give a parameter, initialized or not, the value ``value`` (NDArray), cast to its type, on ``ctx``."""
    param._load_init(value, ctx, cast_dtype=True)


def forget_trace(net):
    """Have ``net`` and all hybridized blocks in it traced anew when they are next called: what is a constant of the
    traced graph may have changed."""
    net.apply(lambda block: block._clear_cached_op() if isinstance(block, HybridBlock) else None)


def freeze_statistics(batch_norm):
    """Have a ``BatchNorm`` normalize by its running statistics, and keep them, in training too."""
    batch_norm._kwargs['use_global_stats'] = True


def norm_settings(batch_norm):
    """A ``BatchNorm``'s choices, as its operator takes them: axis, eps, momentum, fix_gamma, use_global_stats."""
    return batch_norm._kwargs


def optimizer_states(trainer):
    """``[(Parameter, arrays)]`` of a Trainer's first device: what its optimizer keeps for each parameter so far."""
    return [(trainer._params[index], _arrays(state)) for index, state in trainer._updaters[0].states.items()]


def make_optimizer_states(trainer):
    """``[(Parameter, arrays)]`` as :func:`optimizer_states`, new, for every parameter that is trained."""
    updater, made = trainer._updaters[0], []
    for index, param in enumerate(trainer._params):
        if param.grad_req != 'null':
            state = updater.optimizer.create_state_multi_precision(index, param.data())
            updater.states[index], updater.states_synced[index] = state, True
            made.append((param, _arrays(state)))
    return made


def optimizer_indices(trainer):
    """``{Parameter: index}``: the numbers by which mxnet itself tells the states of parameters apart."""
    return {param: index for index, param in enumerate(trainer._params)}


def _arrays(state):
    """The arrays of a state, in their order: None, one, or tuples of them within each other."""
    if isinstance(state, (list, tuple)):
        return [array for part in state for array in _arrays(part)]
    return [] if state is None else [state]


def rate_and_decay(optimizer, index):
    """``(learning rate, weight decay)`` of one parameter, by mxnet's number of it, with its own factors."""
    return optimizer._get_lr(index), optimizer._get_wd(index)


def update_counts(trainer):
    """``{Parameter: updates so far}`` of a Trainer's optimizer; Adam corrects its averages by them."""
    counts = trainer._optimizer._index_update_count
    return {param: counts[index] for index, param in enumerate(trainer._params) if index in counts}


def set_update_counts(trainer, counts):
    """Give back what :func:`update_counts` told."""
    optimizer = trainer._optimizer
    optimizer._index_update_count.update({index: counts[param] for index, param in enumerate(trainer._params)
                                          if param in counts})
    optimizer.num_update = max([optimizer.begin_num_update, *counts.values()])


def expect_gradients(params):
    """Mark the gradients of parameters as not yet computed, before a backward pass."""
    for param in params:
        for array in param.list_data():
            array._fresh_grad = False


def complete_gradients(params):
    """Zero the gradients that the backward pass since :func:`expect_gradients` has left alone: those of parameters
    that had no part in the loss. They would be an earlier batch's otherwise, and mxnet's Trainer would raise."""
    for param in params:
        for array in param.list_data():
            if not array._fresh_grad:
                param.zero_grad()
                array._fresh_grad = True


def pending_average(trainer):
    """The factor by which Horovod's DistributedTrainer has still to multiply the summed gradients; 1 otherwise."""
    return trainer._scale


def observe_outputs(cached_op, watch):
    """Have ``watch(name, array)`` called with each node's outputs as ``cached_op`` computes them.

    The output of a node ``conv0`` is called ``conv0_output``; of several ones ``slice0_output0`` is the first.
    """
    def seen(name, operator, handle):
        node, _, output = name.decode().rpartition('_')
        if output == '0':       # operators of a library number their outputs
            output = 'output'
        watch(f'{node}_{output}', mx.nd.NDArray(ctypes.cast(handle, mx.base.NDArrayHandle), writable=False))

    cached_op._register_op_hook(seen)


def onnx_graph_maker():
    """The maker of ONNX graphs behind ``mxnet.onnx.export_model``, which itself always takes onnx's newest opset."""
    from mxnet.onnx.mx2onnx._export_onnx import MXNetGraph
    return MXNetGraph()


@contextlib.contextmanager
def onnx_converters(converters, opset):
    """Have mxnet's exporter use ``{operator: function}`` for an opset, before its own, while the context lasts.

    A function takes ``node`` (a dict of the symbol's JSON) and, in keywords, ``outputs_lookup`` (of each node a list of
    objects with a ``name``) and ``initializer`` (a list to add constants to); it returns a list of ONNX nodes, the last
    of them with the name of ``node``, or raises AttributeError.
    """
    from mxnet.onnx.mx2onnx._export_onnx import MXNetGraph
    registry = MXNetGraph.registry_
    before = registry.get(opset, {})
    registry[opset] = {**before, **converters}
    try:
        yield
    finally:
        registry[opset] = before


def register_operators(path, operators):
    """What ``mx.library.load`` does, for the named operators alone; it takes 1 s to make all functions again."""
    check_call(_LIB.MXLoadLib(ctypes.c_char_p(str(path).encode()), mx_uint(0)))
    for name in operators:
        handle = mx.base.OpHandle()
        check_call(_LIB.NNGetOpHandle(mx.base.c_str(name), ctypes.byref(handle)))
        for module, make in ((mx.nd, _make_ndarray_function), (mx.sym, _make_symbol_function)):
            function = make(handle, name, name)
            function.__module__ = module.op.__name__
            setattr(module, name, function)
            setattr(module.op, name, function)
