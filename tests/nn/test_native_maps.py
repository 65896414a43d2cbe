"""The native operators of maps against NumPy, forward and backward, under every request."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.nn import native

from ..conftest import needs_compiler

pytestmark = needs_compiler


@pytest.fixture(autouse=True)
def loaded():
    assert native.load(name='resize_map')
    assert native.load(name='map_cross_entropy')


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype('float32')


def shares(old, new):
    """The share ``(new, old)`` of each old position in each new one, corners aligned."""
    places = np.arange(new) * (old - 1) / max(new - 1, 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)))


def both(function, x, head, request):
    """Output, and gradient of ``x`` after one pass that began with ones in its place."""
    x = mx.nd.array(x)
    gradient = mx.nd.ones_like(x)
    mx.autograd.mark_variables([x], [gradient], request)
    with mx.autograd.record():
        made = function(x)
    made.backward(mx.nd.array(head))
    return made.asnumpy(), gradient.asnumpy()


@pytest.mark.parametrize('request_', ['write', 'add'])
@pytest.mark.parametrize('old, new', [((3, 5), (9, 7)), ((4, 1), (1, 6)), ((1, 1), (3, 2)), ((7, 6), (3, 11))])
def test_resizing(old, new, request_):
    x, head, rows, columns = values(2, 3, *old), values(2, 3, *new, seed=1), shares(old[0], new[0]), \
        shares(old[1], new[1])
    gradient = (request_ == 'add') + np.einsum('Hh,ncHW,Ww->nchw', rows, head, columns)
    like = mx.nd.zeros((1, 2, *new))
    for function in (lambda x: mx.nd.resize_map(x, like), lambda x: mx.nd.resize_map(x, height=new[0], width=new[1])):
        made, found = both(function, x, head, request_)
        np.testing.assert_allclose(made, np.einsum('Hh,nchw,Ww->ncHW', rows, x, columns), atol=1e-5)
        np.testing.assert_allclose(found, gradient, atol=1e-5)


@pytest.mark.parametrize('request_', ['write', 'add'])
@pytest.mark.parametrize('scale', [1, 40])
@pytest.mark.parametrize('shape', [(2, 7, 5, 3), (1, 1, 2, 2), (1, 3, 27, 41)])
def test_cross_entropy(shape, scale, request_):
    """Also of logits so far apart that an exponential of them would overflow; labels out of range are the nearest."""
    x, head = scale * values(*shape).astype('float64'), values(shape[0], *shape[2:], seed=1)
    labels = np.random.default_rng(2).integers(-1, shape[1] + 1, head.shape)
    taken = (np.clip(labels, 0, shape[1] - 1)[:, None] == np.arange(shape[1])[None, :, None, None])
    probabilities = np.exp(x - x.max(axis=1, keepdims=True))
    total = np.log(probabilities.sum(axis=1)) + x.max(axis=1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    made, found = both(lambda x: mx.nd.map_cross_entropy(x, mx.nd.array(labels)), x, head, request_)
    np.testing.assert_allclose(made, total - (x * taken).sum(axis=1), rtol=1e-5, atol=2e-5)
    wanted = (request_ == 'add') + head[:, None] * (probabilities - taken)
    np.testing.assert_allclose(found, wanted, atol=3e-5)


def test_what_they_do_not_take():
    x = mx.nd.zeros((1, 2, 3, 4))
    for wrong in (lambda: mx.nd.resize_map(x, mx.nd.zeros((3, 4))), lambda: mx.nd.resize_map(x, height=3),
                  lambda: mx.nd.map_cross_entropy(x, mx.nd.zeros((1, 4, 3))),
                  lambda: mx.nd.map_cross_entropy(x.astype('float64'), mx.nd.zeros((1, 3, 4), dtype='float64'))):
        with pytest.raises(mx.MXNetError):
            wrong().wait_to_read()
