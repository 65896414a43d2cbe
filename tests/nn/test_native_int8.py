"""The int8 operator of split attention against a formula in NumPy, in both layouts."""
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.nn import native

from ..conftest import needs_compiler

pytestmark = needs_compiler
LIMIT, RANGE = 3.0, 1.5     # what the largest number stands for, in and out
# From the formula to the nearest number. What is rounded is computed in float32: some thirty roundings of a number up
# to 255, each by at most one in 2 ** 24.
ROUNDED = 0.5 + 30 * 255 / 2 ** 24


@pytest.fixture(scope='module')
def operator():
    assert native.load(name='split_attention_int8')
    return mx.nd.split_attention_int8


def steps(dtype):
    return 255.5 if dtype == 'uint8' else 127.5


def inputs(dtype, radix, cardinality, shape, inner=6):
    """x (N, R, C, H, W) and the layers' weights and biases."""
    rng = np.random.default_rng(radix)
    batch, channels, height, width = shape
    limits = np.iinfo(dtype)
    x = rng.integers(limits.min, limits.max + 1, (batch, radix, channels, height, width)).astype(dtype)
    shapes = ((inner, channels // cardinality, 1, 1), inner, (radix * channels, inner // cardinality, 1, 1),
              radix * channels)
    return x, [rng.normal(0, 0.5, size).astype('float32') for size in shapes]


def expected(x, layers, radix, cardinality):
    """Before rounding and clipping."""
    def grouped(values, weight, bias):
        parts = zip(np.split(values, cardinality, axis=1), np.split(weight[:, :, 0, 0], cardinality))
        return np.concatenate([part @ factor.T for part, factor in parts], axis=1) + bias

    factor = steps('int8' if x.dtype == np.int8 else 'uint8')
    real = x * (LIMIT / factor)
    hidden = np.maximum(grouped(real.mean(axis=(3, 4)).sum(axis=1), *layers[:2]), 0)
    logits = grouped(hidden, *layers[2:]).reshape(len(x), cardinality, radix, -1)
    weights = np.exp(logits) / (np.exp(logits).sum(axis=2, keepdims=True) if radix > 1 else 1 + np.exp(logits))
    weights = weights.swapaxes(1, 2).reshape(*x.shape[:3], 1, 1)
    return (weights * real).sum(axis=1) * factor / RANGE


def plain(x):
    return mx.nd.array(x.reshape(len(x), -1, *x.shape[3:]), dtype=x.dtype)


def call(operator, x, layers, radix, cardinality, **keywords):
    limits = mx.nd.array([-1]), mx.nd.array([LIMIT])
    return operator(x, *limits, *map(mx.nd.array, layers), radix=radix, cardinality=cardinality, range=RANGE,
                    **keywords)


@pytest.mark.parametrize('shape', [(1, 2, 1, 1), (3, 70, 5, 3), (2, 128, 7, 7)], ids=str)
@pytest.mark.parametrize('dtype', ['uint8', 'int8'])
@pytest.mark.parametrize('cardinality', [1, 2])
@pytest.mark.parametrize('radix', [1, 2, 3, 4])
def test_equals_the_formula(operator, radix, cardinality, dtype, shape):
    x, layers = inputs(dtype, radix, cardinality, shape)
    found, low, high = call(operator, plain(x), layers, radix, cardinality)
    assert (found.dtype, found.shape) == (np.dtype(dtype), shape)
    wanted = expected(x, layers, radix, cardinality)
    limits = np.iinfo(dtype)
    assert np.abs(found.asnumpy() - np.clip(wanted, limits.min, limits.max)).max() < ROUNDED
    assert (low.asscalar(), high.asscalar()) == (0 if dtype == 'uint8' else -RANGE, RANGE)


@pytest.mark.parametrize('dtype', ['uint8', 'int8'])
@pytest.mark.parametrize('radix', [1, 2, 4])
def test_equals_whole_numbers_exactly(operator, radix, dtype):
    """Equal scores, and factors that are powers of two: nothing is rounded but the result, halves away from zero."""
    x, layers = inputs(dtype, radix, 1, (3, 70, 5, 3))
    layers[2:] = [np.zeros_like(layer) for layer in layers[2:]]
    found = call(operator, plain(x), layers, radix, 1)[0].asnumpy()
    total = x.astype(int).sum(axis=1)       # times 1/2, 1/2 or 1/4, and LIMIT is twice RANGE
    wanted = np.sign(total) * ((np.abs(total) + 1) // 2) if radix == 4 else total
    limits = np.iinfo(dtype)
    np.testing.assert_array_equal(found, np.clip(wanted, limits.min, limits.max))


def test_scales_of_the_channels(operator):
    x, layers = inputs('uint8', 2, 1, (2, 70, 3, 3))
    scale = np.random.default_rng(0).uniform(0.1, 2, (2, 70, 1, 1)).astype('float32')
    limits = mx.nd.array([0]), mx.nd.array([LIMIT])
    found = operator(plain(x), *limits, *map(mx.nd.array, layers), mx.nd.array(scale.reshape(1, -1, 1, 1)), radix=2,
                     cardinality=1, range=RANGE, scaled=1)[0]
    wanted = np.clip(expected(x * scale, layers, 2, 1), 0, 255)
    assert np.abs(found.asnumpy() - wanted).max() < ROUNDED


@pytest.mark.parametrize('shape', [(2, 4, 1, 1), (2, 6, 5, 3), (1, 64, 4, 4)], ids=str)
def test_reads_and_writes_the_layout_of_onednn(operator, shape):
    batch, channels, height, width = shape
    _, layers = inputs('uint8', 2, 1, shape)
    real = mx.nd.array(np.random.default_rng(0).uniform(0, LIMIT, (batch, 2 * channels, height, width)))
    x = mx.nd.contrib.quantize_v2(real, min_calib_range=0.0, max_calib_range=LIMIT, out_type='auto')[0]
    copy = mx.nd.array(x.asnumpy(), dtype='uint8')
    found, wanted = (call(operator, value, layers, 2, 1) for value in (x, copy))
    np.testing.assert_array_equal(found[0].asnumpy(), wanted[0].asnumpy())
    pooled = mx.nd.contrib.quantized_pooling(*found, kernel=(1, 1), global_pool=True, pool_type='max')[0]
    np.testing.assert_array_equal(pooled.asnumpy()[:, :, 0, 0], wanted[0].asnumpy().max(axis=(2, 3)))


def channels_last(x):
    """The same numbers as oneDNN's operators leave them, channels last in memory."""
    real = plain(x).astype('float32') * (LIMIT / 255)
    numbers = mx.nd.contrib.quantize_v2(real, min_calib_range=0.0, max_calib_range=LIMIT, out_type='auto')
    return mx.nd.contrib.quantized_pooling(*numbers, kernel=(1, 1), global_pool=False, pool_type='max')[0]


LAYOUTS = pytest.mark.parametrize('layout', [plain, channels_last])
SHAPE = (4, 16, 5, 3)


@LAYOUTS
@pytest.mark.parametrize('part', [slice(0, 2), slice(1, 3), slice(3, 4)], ids=str)
def test_views_as_inputs(operator, layout, part):
    x, layers = inputs('uint8', 2, 1, SHAPE)
    found = call(operator, layout(x)[part], layers, 2, 1)[0].asnumpy()
    np.testing.assert_array_equal(found, call(operator, plain(x), layers, 2, 1)[0].asnumpy()[part])


def test_views_of_limits_and_layers(operator):
    x, layers = inputs('uint8', 2, 1, SHAPE)
    limits = mx.nd.array([99, -1, LIMIT, 99])
    views = [mx.nd.array(np.concatenate([layer + 99, layer]))[len(layer):] for layer in layers]
    found = operator(plain(x), limits[1:2], limits[2:3], *views, radix=2, cardinality=1, range=RANGE)[0].asnumpy()
    np.testing.assert_array_equal(found, call(operator, plain(x), layers, 2, 1)[0].asnumpy())


@LAYOUTS
@pytest.mark.parametrize('first', [0, 1, 3])
def test_views_as_outputs(operator, layout, first):
    x, layers = inputs('uint8', 2, 1, SHAPE)
    wanted = np.full((7, *SHAPE[1:]), 9)
    wanted[first:first + 4] = call(operator, plain(x), layers, 2, 1)[0].asnumpy()
    whole, limits = mx.nd.full(wanted.shape, 9, dtype='uint8'), mx.nd.full(4, 9)
    call(operator, layout(x), layers, 2, 1, out=[whole[first:first + 4], limits[1:2], limits[2:3]])
    np.testing.assert_array_equal(whole.asnumpy(), wanted)
    np.testing.assert_array_equal(limits.asnumpy(), [9, 0, RANGE, 9])


@LAYOUTS
def test_in_place(operator, layout):
    numbers, layers = inputs('uint8', 1, 1, SHAPE)
    x = layout(numbers)
    call(operator, x, layers, 1, 1, out=[x, mx.nd.zeros(1), mx.nd.zeros(1)])
    np.testing.assert_array_equal(x.asnumpy(), call(operator, plain(numbers), layers, 1, 1)[0].asnumpy())


@pytest.mark.parametrize('first', range(5))
def test_outputs_that_overlap_an_input(operator, first):
    numbers, layers = inputs('uint8', 2, 1, SHAPE)
    x = plain(numbers)
    wanted = x.asnumpy().reshape(8, *SHAPE[1:])
    wanted[first:first + 4] = call(operator, plain(numbers), layers, 2, 1)[0].asnumpy()
    view = x.reshape((8, *SHAPE[1:]))[first:first + 4]
    call(operator, x, layers, 2, 1, out=[view, mx.nd.zeros(1), mx.nd.zeros(1)])
    np.testing.assert_array_equal(x.asnumpy().reshape(wanted.shape), wanted)


def test_several_threads_at_once(operator):
    cases = [inputs('uint8', radix, 1, (2, 70, 9, 7)) for radix in (1, 2, 3, 4)]

    def step(number):
        x, layers = cases[number % 4]
        return call(operator, (plain, channels_last)[number % 2](x), layers, number % 4 + 1, 1)[0].asnumpy().tobytes()

    wanted = [step(number) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(step, range(40))) == wanted


@pytest.mark.parametrize('change', [dict(radix=3), dict(radix=0), dict(range=0), dict(dtype='float32'), dict(inner=5),
                                    dict(cardinality=2 ** 32), dict(radix=2 ** 32, cardinality=2 ** 32)],
                         ids=str)
def test_refuses_what_does_not_fit(operator, change):
    settings = {'radix': 2, 'cardinality': 2, 'range': RANGE, 'dtype': 'uint8', 'inner': 6, **change}
    x, layers = inputs('uint8', 2, 2, (1, 4, 3, 3))
    x = plain(x).astype(settings.pop('dtype'))
    layers[0] = layers[0][:settings.pop('inner')]
    with pytest.raises(mx.MXNetError, match='split_attention_int8'):
        operator(x, mx.nd.zeros(1), mx.nd.ones(1), *map(mx.nd.array, layers), **settings)[0].wait_to_read()
