"""Averaged weights against the formula in NumPy."""
import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.training.methods.averaging import AveragedWeights


@pytest.fixture
def net():
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(4, in_units=3), mx.gluon.nn.BatchNorm(in_channels=4), mx.gluon.nn.Dense(2, in_units=4))
    mx.random.seed(0)
    net.initialize(mx.init.Normal(1))
    net.hybridize(static_alloc=True)
    return net


def weights(net):
    return {name: param.data().asnumpy().copy() for name, param in net._collect_params_with_prefix().items()}


def train(net, steps):
    """Yields after each step; running statistics move too."""
    trainer = mx.gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1}, kvstore=None)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        with mx.autograd.record():
            loss = (net(mx.nd.array(rng.normal(size=(8, 3)))) ** 2).mean()
        loss.backward()
        trainer.step(1)
        yield weights(net)


@pytest.mark.parametrize('decay', [0.5, 0.9999])
def test_averages_follow_the_formula(net, decay):
    wanted = {name: value.astype('float64') for name, value in weights(net).items()}
    averaged = AveragedWeights(net, decay)
    for t, now in enumerate(train(net, 12)):
        averaged.update()
        d = min(decay, (1 + t) / (10 + t))
        wanted = {name: d * value + (1 - d) * now[name] for name, value in wanted.items()}
    found = averaged.arrays()
    assert found.pop('updates').asscalar() == 12
    assert found.keys() == wanted.keys() >= {'0.weight', '1.running_mean', '1.running_var'}
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name].asnumpy(), value, rtol=1e-5, atol=1e-7, err_msg=name)
        assert not np.array_equal(found[name].asnumpy(), now[name])


def test_a_loaded_average_goes_on_alike(net):
    averaged = AveragedWeights(net, 0.999)
    steps = train(net, 8)
    for _, _now in zip(range(4), steps):
        averaged.update()
    stored = {name: value.asnumpy() for name, value in averaged.arrays().items()}
    other = AveragedWeights(net, 0.999)
    other.load(stored)
    for _ in steps:
        averaged.update()
        other.update()
    for name, value in averaged.arrays().items():
        np.testing.assert_array_equal(other.arrays()[name].asnumpy(), value.asnumpy())


def test_averages_of_another_network_are_told(net):
    averaged = AveragedWeights(net, 0.999)
    before = averaged.arrays()['0.weight'].asnumpy()
    with pytest.raises(InputError, match=r'of another network: 2\.weight'):
        averaged.load({**averaged.arrays(), '0.weight': mx.nd.ones((4, 3)), '2.weight': mx.nd.ones((3, 4))})
    np.testing.assert_array_equal(averaged.arrays()['0.weight'].asnumpy(), before)


def test_half_precision_weights_are_averaged_in_single_precision(net):
    net.cast('float16')
    averaged = AveragedWeights(net, 0.9999)
    first = weights(net)['0.weight'].astype('float64')
    net[0].weight.set_data(net[0].weight.data() + 1)
    now = weights(net)['0.weight'].astype('float64')
    averaged.update()
    np.testing.assert_allclose(averaged.arrays()['0.weight'].asnumpy(), 0.1 * first + 0.9 * now, rtol=1e-6)
