"""Passes over a map that a step on a CPU takes together: a residual block's sum and the ReLU behind it."""
from resnest.gluon.graph import users, walk

__all__ = ['ADD_RELU', 'fused']

ADD_RELU = 'add_relu'      # the native operator, and its library


def fused(outputs):
    """The outputs of a graph, as :func:`.from_symbol` has them, with a native operator for a sum and its ReLU.

    It gives the numbers of the pair, and its gradient adds up what the readers of the ReLU give back. A sum that
    somebody else reads too stays one. The operator must be loaded.
    """
    readers = users(outputs)
    for node in walk(outputs):
        source = node.inputs[0][0] if node.inputs else None
        if node.op == 'Activation' and node.attrs['act_type'] == 'relu' and source.op == 'elemwise_add' \
                and len(readers[id(source)]) == 1:
            node.op, node.attrs, node.inputs = ADD_RELU, {}, source.inputs
    return outputs
