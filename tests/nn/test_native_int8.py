"""The int8 operator of split attention against a formula in NumPy, in both layouts."""
import os
import shutil

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.nn import native

pytestmark = pytest.mark.skipif(shutil.which(os.environ.get('CXX') or 'g++') is None,
                                reason='no C++ compiler to build the native operators with')
LIMIT, RANGE = 3.0, 1.5     # what the largest number stands for, in and out


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


def call(operator, x, layers, radix, cardinality):
    limits = mx.nd.array([-1]), mx.nd.array([LIMIT])
    return operator(x, *limits, *map(mx.nd.array, layers), radix=radix, cardinality=cardinality, range=RANGE)


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
    assert np.abs(found.asnumpy() - np.clip(wanted, limits.min, limits.max)).max() < 0.501
    assert (low.asscalar(), high.asscalar()) == (0 if dtype == 'uint8' else -RANGE, RANGE)


def test_scales_of_the_channels(operator):
    x, layers = inputs('uint8', 2, 1, (2, 70, 3, 3))
    scale = np.random.default_rng(0).uniform(0.1, 2, (2, 70, 1, 1)).astype('float32')
    limits = mx.nd.array([0]), mx.nd.array([LIMIT])
    found = operator(plain(x), *limits, *map(mx.nd.array, layers), mx.nd.array(scale.reshape(1, -1, 1, 1)), radix=2,
                     cardinality=1, range=RANGE, scaled=1)[0]
    wanted = np.clip(expected(x * scale, layers, 2, 1), 0, 255)
    assert np.abs(found.asnumpy() - wanted).max() < 0.501


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


@pytest.mark.parametrize('change', [dict(radix=3), dict(radix=0), dict(range=0), dict(dtype='float32'), dict(inner=5)],
                         ids=str)
def test_refuses_what_does_not_fit(operator, change):
    settings = {'radix': 2, 'range': RANGE, 'dtype': 'uint8', 'inner': 6, **change}
    x, layers = inputs('uint8', 2, 2, (1, 4, 3, 3))
    layers[0] = layers[0][:settings['inner']]
    with pytest.raises(mx.MXNetError, match='split_attention_int8'):
        operator(plain(x).astype(settings['dtype']), mx.nd.zeros(1), mx.nd.ones(1), *map(mx.nd.array, layers),
                 radix=settings['radix'], cardinality=2, range=settings['range'])[0].wait_to_read()
