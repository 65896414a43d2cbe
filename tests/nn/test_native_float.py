"""The operator of split attention in float32 and bfloat16 networks against a formula in NumPy, in every layout."""
import json
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.nn import native

from ..conftest import need_cpu, needs_compiler
from .layouts import LAYOUTS, of_onednn, plain

pytestmark = needs_compiler
# On a CPU with AVX-512 oneDNN keeps 512 channels and more in blocks of 16, others last; without it, in blocks of 8.
SHAPES = [(1, 2, 1, 1), (3, 70, 5, 3), (2, 32, 6, 7), (1, 24, 2, 8), (1, 512, 3, 4)]


@pytest.fixture(scope='module')
def operator():
    assert native.load(name='split_attention_float')
    return mx.nd.split_attention_float


def inputs(radix, cardinality, shape, inner=6):
    """x (N, R * C, H, W) and the layers' weights and biases."""
    rng = np.random.default_rng(radix)
    batch, channels, height, width = shape
    sizes = ((batch, radix * channels, height, width), (inner, channels // cardinality, 1, 1), inner,
             (radix * channels, inner // cardinality, 1, 1), radix * channels)
    return [rng.normal(0, 0.5, size).astype('float32') for size in sizes]


def expected(arrays, radix, cardinality, pooling=0):
    x, *layers = (array.astype('float64') for array in arrays)
    x = x.reshape(len(x), radix, -1, *x.shape[2:])

    def grouped(values, weight, bias):
        parts = zip(np.split(values, cardinality, axis=1), np.split(weight[:, :, 0, 0], cardinality))
        return np.concatenate([part @ factor.T for part, factor in parts], axis=1) + bias

    hidden = np.maximum(grouped(x.mean(axis=(3, 4)).sum(axis=1), *layers[:2]), 0)
    scores = np.exp(grouped(hidden, *layers[2:]).reshape(len(x), cardinality, radix, -1))
    weights = scores / (scores.sum(axis=2, keepdims=True) if radix > 1 else 1 + scores)
    y = (weights.swapaxes(1, 2).reshape(*x.shape[:3], 1, 1) * x).sum(axis=1)
    if not pooling:
        return y
    height, width = y.shape[2:]
    y = np.pad(y, [(0, 0), (0, 0), (1, 1), (1, 1)])
    return sum(y[:, :, row:row + height:pooling, column:column + width:pooling]
               for row in range(3) for column in range(3)) / 9


def call(operator, x, layers, radix, cardinality, **keywords):
    return operator(x, *map(mx.nd.array, layers), radix=radix, cardinality=cardinality, **keywords)


def near(found, wanted, tolerance=2e-6):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < tolerance * np.abs(wanted).max()


@pytest.mark.parametrize('shape', SHAPES, ids=str)
@LAYOUTS
@pytest.mark.parametrize('cardinality', [1, 2])
@pytest.mark.parametrize('radix', [1, 2, 3, 4])
def test_equals_the_formula(operator, radix, cardinality, layout, shape):
    x, *layers = arrays = inputs(radix, cardinality, shape)
    near(call(operator, layout(x), layers, radix, cardinality).asnumpy(), expected(arrays, radix, cardinality))
    for pooling in (1, 2, 3):
        found = call(operator, layout(x), layers, radix, cardinality, pooling=pooling)
        near(found.asnumpy(), expected(arrays, radix, cardinality, pooling))


@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('pooling', [0, 2])
@pytest.mark.parametrize('radix', [1, 2, 4])
def test_bfloat16(radix, pooling, shape):
    """What comes in and goes out has 8 bits; what is computed has more."""
    need_cpu('bfloat16')
    assert native.load(name='split_attention_float')
    x, *layers = inputs(radix, 2, shape)
    x = (x.view(np.uint32) & 0xffff0000).view(np.float32)       # numbers of bfloat16
    names = ['fc1_weight', 'fc1_bias', 'fc2_weight', 'fc2_bias']
    nodes = [('null', 'x', {}, []), ('amp_cast', 'low', {'dtype': 'bfloat16'}, [0]),
             *(('null', name, {}, []) for name in names),
             ('split_attention_float', 'y', {'radix': str(radix), 'cardinality': '2',
                                             **({'pooling': str(pooling)} if pooling else {})}, [1, 2, 3, 4, 5]),
             ('amp_cast', 'high', {'dtype': 'float32'}, [6])]
    symbol = mx.sym.load_json(json.dumps({
        'nodes': [{'op': op, 'name': name, 'attrs': attrs, 'inputs': [[each, 0, 0] for each in places]}
                  for op, name, attrs, places in nodes], 'arg_nodes': [0, 2, 3, 4, 5], 'heads': [[7, 0, 0]]}))
    found = mx.nd.CachedOp(symbol)(mx.nd.array(x), *map(mx.nd.array, layers)).asnumpy()
    wanted = expected([x, *layers], radix, 2, pooling)
    assert found.shape == wanted.shape
    assert (np.abs(found - wanted) <= np.abs(wanted) * 2 ** -8 * 1.001 + 1e-6).all()


@LAYOUTS
@pytest.mark.parametrize('part', [slice(0, 2), slice(1, 3), slice(3, 4)], ids=str)
def test_views_as_inputs(operator, layout, part):
    x, *layers = arrays = inputs(2, 1, (4, 16, 5, 3))
    near(call(operator, layout(x)[part], layers, 2, 1).asnumpy(), expected(arrays, 2, 1)[part], 4e-6)


def test_views_of_layers(operator):
    x, *layers = inputs(2, 1, (4, 16, 5, 3))
    views = [mx.nd.array(np.concatenate([layer + 99, layer]))[len(layer):] for layer in layers]
    found = operator(plain(x), *views, radix=2, cardinality=1).asnumpy()
    np.testing.assert_array_equal(found, call(operator, plain(x), layers, 2, 1).asnumpy())


@LAYOUTS
@pytest.mark.parametrize('first', [0, 1, 3])
def test_views_as_outputs(operator, layout, first):
    x, *layers = inputs(2, 1, (4, 16, 5, 3))
    wanted = np.full((7, 16, 5, 3), 9, 'float32')
    wanted[first:first + 4] = call(operator, layout(x), layers, 2, 1).asnumpy()
    whole = mx.nd.full(wanted.shape, 9)
    call(operator, layout(x), layers, 2, 1, out=whole[first:first + 4])
    np.testing.assert_array_equal(whole.asnumpy(), wanted)


@LAYOUTS
def test_in_place(operator, layout):
    numbers, *layers = inputs(1, 1, (4, 16, 5, 3))
    x = layout(numbers)
    wanted = call(operator, layout(numbers), layers, 1, 1).asnumpy()
    call(operator, x, layers, 1, 1, out=x)
    np.testing.assert_array_equal(x.asnumpy(), wanted)


def test_several_threads_at_once(operator):
    cases = [inputs(radix, 1, (2, 64, 9, 7)) for radix in (1, 2, 3, 4)]

    def step(number):
        x, *layers = cases[number % 4]
        layout = (plain, of_onednn)[number // 4 % 2]
        return call(operator, layout(x), layers, number % 4 + 1, 1, pooling=1 + number % 2).asnumpy().tobytes()

    wanted = [step(number) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(step, range(40))) == wanted


@pytest.mark.parametrize('change', [dict(radix=3), dict(radix=0), dict(pooling=0), dict(dtype='float64'),
                                    dict(inner=5), dict(cardinality=2 ** 32)], ids=str)
def test_refuses_what_does_not_fit(operator, change):
    settings = {'radix': 2, 'cardinality': 2, 'dtype': 'float32', 'inner': 6, **change}
    x, *layers = inputs(2, 2, (1, 4, 3, 3))
    x = plain(x).astype(settings.pop('dtype'))
    layers[0] = layers[0][:settings.pop('inner')]
    with pytest.raises(mx.MXNetError, match='split_attention_float'):
        operator(x, *map(mx.nd.array, layers), **settings).wait_to_read()
