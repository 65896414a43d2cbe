"""The native operators under every request that mxnet can make, on views, in place and from several threads at once."""
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.device import cpu_flags
from resnest.gluon.nn import SplitAttentionConv, native, use_native

from ..conftest import needs_compiler, randomize, relative_error

pytestmark = needs_compiler
RADIX = 2
SHAPE = (4, 32, 6, 5)       # enough channels for oneDNN's blocked layouts


@pytest.fixture(autouse=True)
def loaded():
    assert native.load()


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype('float32')


def cut(array):
    """The numbers of bfloat16 next to those of an array."""
    return (array.view(np.uint32) & 0xffff0000).view(np.float32)


X, WEIGHTS, HEAD = cut(values(*SHAPE)), values(*SHAPE[:2], 1, 1, seed=1), cut(values(4, 16, 6, 5, seed=2))
GRADIENTS = {'x': WEIGHTS * np.tile(HEAD, (1, RADIX, 1, 1)),
             'weights': (X * np.tile(HEAD, (1, RADIX, 1, 1))).sum(axis=(2, 3), keepdims=True)}


def split_sum(x, weights, radix=RADIX):
    return (x * weights).reshape(len(x), radix, -1, *x.shape[2:]).sum(axis=1)


def pooled(x):
    return x.reshape(len(x), RADIX, -1, *x.shape[2:]).mean(axis=(3, 4), keepdims=True).sum(axis=1)


def blocked(array, make=mx.nd.array):
    """An array of the same values in a layout of oneDNN, which a 1×1 convolution leaves."""
    channels = array.shape[1]
    identity = make(np.eye(channels)[:, :, None, None])
    return mx.nd.Convolution(make(array), identity, no_bias=True, kernel=(1, 1), num_filter=channels)


def bfloat16(array):
    return mx.nd.amp_cast(mx.nd.array(array), dtype=np.dtype([('bfloat16', np.uint16)]))


def blocked_bfloat16(array):
    return blocked(array, bfloat16)


def assert_near(found, wanted):
    """To the bits of its type, where there were a few roundings."""
    single = found.dtype == np.float32
    error = relative_error((found if single else mx.nd.amp_cast(found, dtype='float32')).asnumpy(), wanted)
    assert error < (1e-5 if single else 2 ** -7)


WITHOUT_AVX512 = pytest.mark.skipif(not {'avx512bw', 'avx512dq', 'avx512vl'} <= cpu_flags(),
                                    reason='oneDNN has no bfloat16 without AVX-512')
TYPES = pytest.mark.parametrize('layout', [mx.nd.array, bfloat16])
LAYOUTS = pytest.mark.parametrize('layout', [mx.nd.array, blocked, bfloat16,
                                             pytest.param(blocked_bfloat16, marks=WITHOUT_AVX512)])


def assert_gradients(found, before, steps, requests):
    """After ``steps`` passes: what each request promises of arrays that held ``before``."""
    for name, request in requests.items():
        wanted = {'write': GRADIENTS[name], 'add': before + steps * GRADIENTS[name], 'null': before}[request]
        assert_near(found[name], np.broadcast_to(wanted, GRADIENTS[name].shape))


@LAYOUTS
@pytest.mark.parametrize('of_weights', ['write', 'add', 'null'])
@pytest.mark.parametrize('of_x', ['write', 'add', 'null'])
def test_every_request_of_a_leaf(of_x, of_weights, layout):
    requests = {'x': of_x, 'weights': of_weights}
    leaves = {'x': layout(X), 'weights': mx.nd.array(WEIGHTS)}
    gradients = {'x': layout(np.full(X.shape, 3)), 'weights': mx.nd.full(WEIGHTS.shape, 3)}
    mx.autograd.mark_variables(list(leaves.values()), list(gradients.values()), list(requests.values()))
    for _ in range(2):
        with mx.autograd.record():
            total = mx.nd.split_attention_sum(*leaves.values(), radix=RADIX)
        if set(requests.values()) != {'null'}:
            total.backward(layout(HEAD))
    assert_gradients(gradients, 3, 2, requests)


@TYPES
@pytest.mark.parametrize('of_weights', ['write', 'add', 'null'])
@pytest.mark.parametrize('of_x', ['write', 'add', 'null'])
def test_every_request_of_an_executor(of_x, of_weights, layout):
    requests = {'x': of_x, 'weights': of_weights}
    symbol = mx.sym.split_attention_sum(mx.sym.var('x'), mx.sym.var('weights'), radix=RADIX)
    leaves = {'x': layout(X), 'weights': mx.nd.array(WEIGHTS)}
    gradients = {'x': layout(np.full(X.shape, 3)), 'weights': mx.nd.full(WEIGHTS.shape, 3)}
    executor = symbol.bind(mx.cpu(), leaves, gradients, requests)
    for _ in range(2):
        executor.forward(is_train=True)
        executor.backward([layout(HEAD)])
    assert_near(executor.outputs[0], split_sum(X, WEIGHTS))
    assert_gradients(gradients, 3, 2, requests)


@TYPES
@pytest.mark.parametrize('request_', ['write', 'add'])
def test_requests_of_the_pooling_and_of_both_operators_on_one_leaf(request_, layout):
    x = layout(X)
    x.attach_grad(request_)
    d_pooled = values(4, 16, 1, 1)
    from_pooling = np.tile(d_pooled, (1, RADIX, 1, 1)) / 30
    for step, terms in enumerate((from_pooling, from_pooling + GRADIENTS['x'])):
        with mx.autograd.record():
            outputs = [mx.nd.split_attention_pool(x, radix=RADIX)]
            if step:
                outputs.append(mx.nd.split_attention_sum(x, mx.nd.array(WEIGHTS), radix=RADIX))
        mx.autograd.backward(outputs, [mx.nd.array(d_pooled), layout(HEAD)][:len(outputs)])
        assert_near(x.grad, terms + (from_pooling if request_ == 'add' and step else 0))


def test_autograd_grad():
    x, weights = mx.nd.array(X), mx.nd.array(WEIGHTS)
    for array in (x, weights):
        array.attach_grad('add')
    with mx.autograd.record():
        total = mx.nd.split_attention_sum(x, weights, radix=RADIX)
    found = mx.autograd.grad(total, [weights, x], mx.nd.array(HEAD), retain_graph=True)
    for name, gradient in zip(('weights', 'x'), found):
        assert np.abs(gradient.asnumpy() - GRADIENTS[name]).max() < 1e-4
    assert (x.grad.asnumpy() == 0).all()


def test_many_uses_of_one_array():
    """mxnet adds up more than eight gradients step by step."""
    x = mx.nd.array(X)
    x.attach_grad()
    with mx.autograd.record():
        moved = x * 1
        total = mx.nd.split_attention_pool(moved, radix=RADIX)
        for factor in range(2, 13):
            total = total + factor * mx.nd.split_attention_pool(moved, radix=RADIX)
    total.backward()
    np.testing.assert_allclose(x.grad.asnumpy(), sum(range(1, 13)) / 30, rtol=1e-5)


@LAYOUTS
@pytest.mark.parametrize('part', [slice(0, 2), slice(1, 3), slice(3, 4)], ids=str)
def test_views_as_inputs(layout, part):
    x, weights = layout(X), (blocked if 'blocked' in layout.__name__ else mx.nd.array)(WEIGHTS)
    assert_near(mx.nd.split_attention_sum(x[part], weights[part], radix=RADIX), split_sum(X[part], WEIGHTS[part]))
    assert_near(mx.nd.split_attention_pool(x[part], radix=RADIX), pooled(X[part]))
    turned = layout(X).reshape((8, 16, 6, 5))[1:7]
    assert_near(mx.nd.split_attention_pool(turned, radix=RADIX), pooled(X.reshape(8, 16, 6, 5)[1:7]))


@TYPES
def test_gradients_through_views(layout):
    x = layout(X)
    x.attach_grad()
    with mx.autograd.record():
        total = mx.nd.split_attention_sum(x[1:3], mx.nd.array(WEIGHTS)[1:3], radix=RADIX)
    total.backward(layout(HEAD)[1:3])
    wanted = GRADIENTS['x'].copy()
    wanted[[0, 3]] = 0
    assert_near(x.grad, wanted)


@LAYOUTS
def test_views_as_outputs(layout):
    whole, wanted = layout(np.full((6, 16, 6, 5), 7)), np.full((6, 16, 6, 5), 7.0)
    mx.nd.split_attention_sum(layout(X), mx.nd.array(WEIGHTS), radix=RADIX, out=whole[1:5])
    wanted[1:5] = split_sum(X, WEIGHTS)
    assert_near(whole, wanted)
    means = mx.nd.full((6, 16, 1, 1), 7)
    mx.nd.split_attention_pool(layout(X), radix=RADIX, out=means[1:5])
    np.testing.assert_allclose(means.asnumpy()[1:5], pooled(X), atol=1e-5)
    assert (means.asnumpy()[[0, 5]] == 7).all()


@LAYOUTS
def test_outputs_that_are_there_already(layout):
    out = layout(HEAD)
    mx.nd.split_attention_sum(layout(X), mx.nd.array(WEIGHTS), radix=RADIX, out=out)
    assert_near(out, split_sum(X, WEIGHTS))


@LAYOUTS
def test_in_place(layout):
    x = layout(X)
    mx.nd.split_attention_sum(x, mx.nd.array(WEIGHTS), radix=1, out=x)
    assert_near(x, split_sum(X, WEIGHTS, 1))


@TYPES
@pytest.mark.parametrize('first', range(5))
def test_outputs_that_overlap_an_input(first, layout):
    """Half of the input's memory, wherever in it: each output row would overwrite rows that later ones need."""
    x = layout(X)
    mx.nd.split_attention_sum(x, mx.nd.array(WEIGHTS), radix=RADIX, out=x.reshape((8, 16, 6, 5))[first:first + 4])
    wanted = X.reshape(8, 16, 6, 5).copy()
    wanted[first:first + 4] = split_sum(X, WEIGHTS)
    assert_near(x.reshape(wanted.shape), wanted)


@pytest.mark.parametrize('hybrid', [None, {}, dict(static_alloc=True, static_shape=True)], ids=str)
def test_parameters_and_inputs_of_a_block_add_up(hybrid):
    """``grad_req='add'`` everywhere, over two batches, as in training with accumulated gradients."""
    found = {}
    for use in (False, True):
        block = randomize(SplitAttentionConv(24, 48))
        for param in block.collect_params().values():
            param.grad_req = 'add' if param.grad_req == 'write' else param.grad_req
        if hybrid is not None:
            block.hybridize(**hybrid)
        assert use_native(block, use) is use
        x = mx.nd.array(values(4, 48, 6, 5))
        x.attach_grad('add')
        for seed in (0, 1):
            with mx.autograd.record(train_mode=False):
                y = block(x)
            y.backward(mx.nd.array(values(4, 24, 6, 5, seed=seed)), train_mode=False)
        gradients = {name: param.grad() for name, param in block._collect_params_with_prefix().items()
                     if param.grad_req != 'null'}
        found[use] = {'x': x.grad.asnumpy(), **{name: array.asnumpy() for name, array in gradients.items()}}
    for name, wanted in found[False].items():
        assert relative_error(found[True][name], wanted) < 1e-4, name


def test_several_threads_at_once():
    """The same bytes as one after another."""
    def step(seed):
        x, weights = mx.nd.array(values(3, 12, 9, 7, seed=seed)), mx.nd.array(values(3, 12, 1, 1, seed=seed + 99))
        for array in (x, weights):
            array.attach_grad()
        with mx.autograd.record():
            total = mx.nd.split_attention_sum(x, weights, radix=3) + mx.nd.split_attention_pool(x, radix=3)
        total.backward()
        return [array.asnumpy().tobytes() for array in (total, x.grad, weights.grad)]

    wanted = [step(seed) for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(step, range(40))) == wanted
