"""A step on a CPU that takes ReLUs together with what is before them: that of the network as it is written."""
import collections

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.graph import from_symbol, walk
from resnest.gluon.nn import use_native
from resnest.gluon.nn.native import load
from resnest.gluon.training.methods.fusing import fused
from resnest.gluon.training.methods.rewriting import Rewritten, for_cpu

from ...conftest import needs_compiler, randomize

X = np.random.default_rng(1).normal(size=(8, 3, 64, 64)).astype('float32')


def operators(outputs):
    return collections.Counter(node.op for node in walk(outputs) if node.op != 'null')


def steps(net, wrapped):
    """Outputs, gradients and running statistics after three passes in training, and outputs in evaluation."""
    wrapped.hybridize(static_alloc=True, static_shape=True)
    mx.random.seed(3)
    for _ in range(3):
        with mx.autograd.record():
            y = wrapped(mx.nd.array(X))
        y.backward(mx.nd.array(np.random.default_rng(2).normal(size=y.shape)))
    params = net.collect_params()
    return {'y': y, 'evaluated': wrapped(mx.nd.array(X)),
            **{name: param.data() if param.grad_req == 'null' else param.grad() for name, param in params.items()}}


@needs_compiler
@pytest.mark.parametrize('native', [False, True])
def test_a_step_is_the_one_of_the_network(tiny, native):
    def one(wrap):
        net = randomize(tiny(dropblock_prob=0.1))
        assert use_native(net, native) is native
        return steps(net, wrap(net))

    assert load(name='add_relu')
    wanted = one(lambda net: net)
    for found, (name, value) in zip(one(lambda net: Rewritten(net, [fused])).values(), wanted.items()):
        np.testing.assert_array_equal(found.asnumpy(), value.asnumpy(), err_msg=name)


def test_which_pairs_become_one(tiny):
    """The sums of the blocks; not one that is read elsewhere too, nor one behind another activation."""
    net, x, y = tiny(), mx.sym.var('data'), mx.sym.var('other')
    before, after = operators(from_symbol(net(x))), operators(fused(from_symbol(net(x))))
    assert after - before == {'add_relu': 4}
    assert before - after == {'elemwise_add': 4, 'Activation': 4}
    total = x + y
    for outputs in (mx.sym.Group([mx.sym.Activation(total, act_type='relu'), total]),
                    mx.sym.Activation(total, act_type='tanh'), mx.sym.Activation(x, act_type='relu')):
        assert operators(fused(from_symbol(outputs))) == operators(from_symbol(outputs))


def test_a_block_that_is_no_graph_stays_what_it_is():
    net = mx.gluon.nn.Sequential()
    assert for_cpu(net, 'float32') is net


@needs_compiler
def test_maps_of_other_ranks_and_types(tiny):
    """Lines of a convolution in oneDNN's layout have three axes; what is not float32 is left as it is."""
    net = mx.gluon.nn.Conv1D(16, 3, in_channels=16)
    net.initialize()
    x, y = (mx.nd.array(np.random.default_rng(seed).normal(size=(2, 16, 9))) for seed in (1, 2))
    assert load(name='add_relu')
    found = mx.nd.add_relu(net(x), net(y)).asnumpy()
    np.testing.assert_array_equal(found, np.maximum(net(x).asnumpy() + net(y).asnumpy(), 0))
    double = tiny()
    double.cast('float64')
    assert for_cpu(double, 'float32') is double
