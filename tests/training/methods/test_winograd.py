"""A step on a CPU whose 3×3 convolutions are Winograd's: near that of the network as it is written."""
import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from resnest.gluon.graph import walk
from resnest.gluon.models import ResNet, VariantSpec
from resnest.gluon.nn import native, use_native
from resnest.gluon.training.methods.rewriting import Rewritten, for_cpu
from resnest.gluon.training.methods.winograd import WINOGRAD, with_winograd

from ...conftest import needs_compiler, randomize

pytestmark = needs_compiler


@pytest.fixture(autouse=True)
def loaded():
    assert native.load(name=WINOGRAD)


def values(*shape, seed=0):
    return mx.nd.array(np.random.default_rng(seed).normal(size=shape))


def layers(net, x, **settings):
    """How many layers become Winograd's, by batches of the shape of ``x``."""
    found = []

    def look(outputs):
        outputs = with_winograd(outputs)
        found.extend(node for node in walk(outputs) if node.op == WINOGRAD)
        return outputs

    made = Rewritten(net, [look], **settings)
    made.hybridize()
    made(x)
    return len(found)


def step(net, wrapped, x):
    """The output and the gradients of the second pass in training, by their parameters' names."""
    wrapped.hybridize(static_alloc=True, static_shape=True)
    for _ in range(2):      # the second has its memory planned
        with mx.autograd.record():
            y = wrapped(x)
        y.backward(values(*y.shape, seed=1))
    params = net.collect_params().items()
    return {'y': y.asnumpy(), **{name: param.grad().asnumpy() for name, param in params if param.grad_req != 'null'}}


def error(found, wanted):
    return np.abs(found - wanted).max() / np.abs(wanted).max()


def test_gradients():
    """Between other layers; smooth ones, as a rectifier that opens only in one of both would hide the rest."""
    net = nn.HybridSequential()
    net.add(nn.Conv2D(32, 1, in_channels=3))
    for groups, dilation in ((1, 1), (2, 1), (1, 2)):
        net.add(nn.Conv2D(64, 3, padding=dilation, dilation=dilation, groups=groups, use_bias=False,
                          in_channels=64 if len(net) > 1 else 32), nn.BatchNorm(in_channels=64), nn.Activation('tanh'))
    net.initialize(mx.init.Xavier())
    x = values(4, 3, 21, 18)
    assert layers(net, x) == 3
    wanted = step(net, net, x)
    for name, found in step(net, for_cpu(net, 'float32'), x).items():
        assert 'conv0_bias' in name or error(found, wanted[name]) < 1e-4, name


@pytest.mark.parametrize('same_shapes', [False, True])
def test_a_network(same_shapes):
    """In training, with the native operators, and on batches of another shape than the first."""
    net = randomize(ResNet(VariantSpec('wide', (1, 1, 1, 1), stem_width=32), classes=10))
    assert use_native(net)
    made = for_cpu(net, 'float32', same_shapes=same_shapes)
    x = values(4, 3, 64, 48)
    assert layers(net, x, same_shapes=same_shapes) == 6
    for each in (net, made):
        each.hybridize(static_alloc=True)
    for batch in (x, values(2, 3, 77, 57), x):
        with mx.autograd.train_mode():
            assert error(made(batch).asnumpy(), net(batch).asnumpy()) < 1e-4


# Filters, keywords of a convolution of 64 channels, and whether it suits.
LAYERS = [(64, {}, True), (48, {}, True), (128, dict(groups=2), True), (64, dict(groups=4), False),
          (40, {}, False), (64, dict(strides=2), False), (64, dict(padding=0), False), (64, dict(use_bias=True), False),
          (64, dict(kernel_size=5, padding=2), False), (64, dict(dilation=2), False),
          (64, dict(dilation=2, padding=2), True)]


@pytest.mark.parametrize('filters, keywords, suits', LAYERS, ids=str)
def test_which_layers(filters, keywords, suits):
    net = nn.Conv2D(filters, **{'kernel_size': 3, 'padding': 1, 'use_bias': False, 'in_channels': 64, **keywords})
    net.initialize()
    assert layers(net, values(1, 64, 17, 13)) == suits


def test_maps_of_known_and_unknown_sizes():
    net = nn.Conv2D(64, 3, padding=1, use_bias=False, in_channels=64)
    net.initialize()
    for x, known in (((1, 64, 7, 7), True), ((9, 64, 4, 4), True), ((9, 64, 5, 5), False), ((9, 64, 1, 1), False)):
        assert layers(net, values(*x)) == known
        assert layers(net, values(*x), same_shapes=False)
