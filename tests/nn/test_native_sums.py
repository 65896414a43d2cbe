"""The end of a residual block, a sum and its ReLU, by the native operator, against numpy."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.device import cpu_flags
from resnest.gluon.nn import native

from ..conftest import needs_compiler
from .layouts import LAYOUTS, of_onednn
from .test_native_requests import values

pytestmark = needs_compiler


@pytest.fixture(autouse=True)
def loaded():
    assert native.load(name='add_relu')


@LAYOUTS
@pytest.mark.parametrize('readers', [1, 2, 4])
@pytest.mark.parametrize('shape', [(4, 32, 6, 5), (2, 5, 3, 7), (3, 24, 1, 1), (40, 20, 9, 9)], ids=str)
def test_the_sum_and_its_gradient_of_however_many_readers(shape, readers, layout):
    a, b = (values(*shape, seed=seed) for seed in (0, 1))
    heads = [values(*shape, seed=seed) for seed in range(2, 2 + readers)]
    leaves = mx.nd.array(a), mx.nd.array(b)
    for leaf, request in zip(leaves, ('write', 'add')):
        leaf.attach_grad(request)
        leaf.grad[:] = 3
    with mx.autograd.record():
        # The second summand stays in the plain layout: it is brought into that of the first.
        y = mx.nd.add_relu(layout(leaves[0]) if layout is not of_onednn else convolved(leaves[0]), leaves[1] * 1)
        read = [y * layout(head) for head in heads]
    mx.autograd.backward(read)
    wanted = np.maximum(a + b, 0)
    np.testing.assert_array_equal(y.asnumpy(), wanted)
    gradient = np.where(wanted > 0, sum(heads), 0)
    np.testing.assert_allclose(leaves[0].grad.asnumpy(), gradient, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(leaves[1].grad.asnumpy(), 3 + gradient, rtol=1e-6, atol=1e-6)


def convolved(x):
    """``x`` in a layout of oneDNN, with a gradient."""
    channels = x.shape[1]
    identity = mx.nd.array(np.eye(channels)[:, :, None, None])
    return mx.nd.Convolution(x, identity, no_bias=True, kernel=(1, 1), num_filter=channels)


@pytest.mark.skipif(not {'avx512bw', 'avx512dq', 'avx512vl'} <= cpu_flags(), reason='oneDNN has no bfloat16 without it')
@LAYOUTS
def test_bfloat16_is_rounded_once(layout):
    a, b, head = (layout(values(4, 32, 6, 5, seed=seed)) for seed in range(3))
    low = [mx.nd.amp_cast(each, dtype=np.dtype([('bfloat16', np.uint16)])) for each in (a, b)]
    for each in low:
        each.attach_grad()
    with mx.autograd.record():
        y = mx.nd.amp_cast(mx.nd.add_relu(*low), dtype='float32')
    y.backward(head)
    summed = sum(mx.nd.amp_cast(each, dtype='float32').asnumpy() for each in low)
    np.testing.assert_allclose(y.asnumpy(), np.maximum(summed, 0), rtol=2 ** -8)
    found = mx.nd.amp_cast(low[1].grad, dtype='float32').asnumpy()
    np.testing.assert_allclose(found, np.where(summed > 0, head.asnumpy(), 0), rtol=2 ** -8)


def test_numbers_that_are_none_views_and_outputs_in_place():
    x, y = values(6, 32, 3, 4), values(6, 32, 3, 4, seed=1)
    x[2, 3, 1], x[3, 1, 2, 0], y[4] = np.nan, np.inf, -0.0
    with np.errstate(invalid='ignore'):
        wanted = np.maximum(x + y, 0)
    moved = of_onednn(y)
    found = mx.nd.add_relu(mx.nd.array(x), mx.nd.array(y))
    np.testing.assert_array_equal(found.asnumpy(), wanted)
    np.testing.assert_array_equal(mx.nd.add_relu(moved[1:5], moved[1:5]).asnumpy(), np.maximum(2 * y[1:5], 0))
    mx.nd.add_relu(moved, moved, out=moved)
    np.testing.assert_array_equal(moved.asnumpy(), np.maximum(2 * y, 0))
    part = mx.nd.array(x)
    mx.nd.add_relu(part[1:5], mx.nd.array(y)[1:5], out=part[1:5])
    np.testing.assert_array_equal(part.asnumpy(), np.concatenate([x[:1], wanted[1:5], x[5:]]))


@pytest.mark.parametrize('shapes', [((2, 4, 3, 3), (2, 1, 3, 3)), ((2, 4), (2, 4, 1, 1))])
def test_what_does_not_fit_is_refused(shapes):
    with pytest.raises(mx.MXNetError, match='add_relu takes maps of one shape'):
        mx.nd.add_relu(*(mx.nd.ones(shape) for shape in shapes)).wait_to_read()
