"""DropBlock and DropPath by the native operators: the bytes of the pure path, in whatever layout the map lies."""
import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from resnest.gluon.nn import DropBlock, DropPath, native, use_native

from ..conftest import needs_compiler
from .test_native_requests import blocked, values

pytestmark = needs_compiler


class Masked(nn.HybridSequential):
    """A dropping layer between two convolutions, which keep their maps in layouts of oneDNN."""

    def __init__(self, layer, channels):
        super().__init__()
        self.add(nn.Conv2D(channels, 1, in_channels=channels), layer,
                 nn.Conv2D(channels, 3, padding=1, in_channels=channels))


def trained(net, x, head):
    """Outputs and gradients of a step that draws the same masks each time."""
    mx.random.seed(3)
    x.attach_grad()
    with mx.autograd.record():
        y = net(x)
    y.backward(head)
    return [y.asnumpy(), x.grad.asnumpy(), *(param.grad().asnumpy() for param in net.collect_params().values())]


@pytest.mark.parametrize('hybrid', [None, dict(static_alloc=True, static_shape=True)], ids=str)
@pytest.mark.parametrize('shape', [(4, 32, 6, 5), (3, 24, 4, 4), (2, 5, 3, 7), (2, 16, 1, 1)], ids=str)
@pytest.mark.parametrize('kind', [DropBlock, DropPath])
def test_the_native_path_has_the_bytes_of_the_pure_one(kind, shape, hybrid):
    net = Masked(kind(0.4), shape[1])
    net.initialize(mx.init.Normal(1))
    if hybrid is not None:
        net.hybridize(**hybrid)
    x, head = mx.nd.array(values(*shape)), mx.nd.array(values(*shape, seed=1))
    found = {}
    for native_path in (False, True):
        assert use_native(net, native_path) is native_path
        for _ in range(2):      # the second run has its memory planned
            found[native_path] = trained(net, x, head)
    assert np.abs(found[True][1]).max() > 0
    for pure, fast in zip(found[False], found[True]):
        np.testing.assert_array_equal(pure, fast)


@pytest.mark.parametrize('layout', [mx.nd.array, blocked])
@pytest.mark.parametrize('request_', ['write', 'add', 'null'])
def test_every_request_and_no_gradient_of_the_mask(request_, layout):
    assert native.load(name='masked_map')
    shape = (4, 32, 6, 5)
    x, head = values(*shape), values(*shape, seed=1)
    mask = mx.nd.array(values(4, 1, 6, 5, seed=2))
    leaf, gradient, of_mask = mx.nd.array(x), layout(np.full(shape, 3)), mx.nd.full(mask.shape, 7)
    mx.autograd.mark_variables([leaf, mask], [gradient, of_mask], [request_, 'write'])
    with mx.autograd.record():
        y = mx.nd.masked_map(leaf, mask)
    y.backward(layout(head))
    wanted = {'write': head * mask.asnumpy(), 'add': 3 + head * mask.asnumpy(), 'null': np.full(shape, 3)}[request_]
    np.testing.assert_allclose(gradient.asnumpy(), wanted, rtol=1e-6)
    assert not of_mask.asnumpy().any()


def test_views_and_outputs_in_place():
    assert native.load(name='masked_map')
    x, mask = values(6, 32, 3, 4), values(4, 1, 3, 4, seed=1)
    moved = blocked(x)
    wanted = x[1:5] * mask
    np.testing.assert_array_equal(mx.nd.masked_map(moved[1:5], mx.nd.array(mask)).asnumpy(), wanted)
    plain = mx.nd.array(x)
    part = plain[1:5]
    mx.nd.masked_map(part, mx.nd.array(mask), out=part)
    np.testing.assert_array_equal(plain.asnumpy(), np.concatenate([x[:1], wanted, x[5:]]))
    whole = blocked(x[1:5])
    mx.nd.masked_map(whole, mx.nd.array(mask), out=whole)
    np.testing.assert_array_equal(whole.asnumpy(), wanted)


@pytest.mark.parametrize('shapes', [((2, 4, 3), (2, 1, 3, 3)), ((2, 4, 3, 3), (2, 4, 3, 3)),
                                    ((2, 4, 3, 3), (1, 1, 3, 3))])
def test_what_does_not_fit_is_refused(shapes):
    assert native.load(name='masked_map')
    with pytest.raises(mx.MXNetError, match='masked_map'):
        mx.nd.masked_map(*(mx.nd.ones(shape) for shape in shapes)).wait_to_read()
