"""The operator of split attention in float32 and bfloat16 networks against a formula in NumPy, in every layout."""
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.nn import native

from ..conftest import need_cpu, needs_compiler
from .layouts import LAYOUTS, of_onednn, plain
from .test_native import python

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


def in_bfloat16(x, layers, radix, cardinality, pooling=0):
    """The operator between casts from and to float32."""
    assert native.load(name='split_attention_float')
    names = ['fc1_weight', 'fc1_bias', 'fc2_weight', 'fc2_bias']
    nodes = [('null', 'x', {}, []), ('amp_cast', 'low', {'dtype': 'bfloat16'}, [0]),
             *(('null', name, {}, []) for name in names),
             ('split_attention_float', 'y', {'radix': str(radix), 'cardinality': str(cardinality),
                                             **({'pooling': str(pooling)} if pooling else {})}, [1, 2, 3, 4, 5]),
             ('amp_cast', 'high', {'dtype': 'float32'}, [6])]
    symbol = mx.sym.load_json(json.dumps({
        'nodes': [{'op': op, 'name': name, 'attrs': attrs, 'inputs': [[each, 0, 0] for each in places]}
                  for op, name, attrs, places in nodes], 'arg_nodes': [0, 2, 3, 4, 5], 'heads': [[7, 0, 0]]}))
    return mx.nd.CachedOp(symbol)(mx.nd.array(x), *map(mx.nd.array, layers)).asnumpy()


@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('pooling', [0, 2])
@pytest.mark.parametrize('radix', [1, 2, 4])
def test_bfloat16(radix, pooling, shape):
    """What comes in and goes out has 8 bits; what is computed has more."""
    need_cpu('bfloat16')
    x, *layers = inputs(radix, 2, shape)
    x = (x.view(np.uint32) & 0xffff0000).view(np.float32)       # numbers of bfloat16
    found = in_bfloat16(x, layers, radix, 2, pooling)
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


# Images that threads share and images for each thread, one or two at a time; a strip of positions is 512.
SHARED = [(1, 64, 40, 40), (1, 512, 12, 12), (2, 64, 33, 31), (5, 70, 24, 30), (4, 512, 7, 7)]


def digests(threads=None):
    """Of the results for SHARED: computed at once or, without threads, one image after the other."""
    assert native.load(name='split_attention_float')
    operator, found = mx.nd.split_attention_float, []
    for shape in SHARED:
        x, *layers = inputs(2, 1, shape, inner=512)
        for pooling in ({}, {'pooling': 2}):
            parts = [x] if threads else np.split(x, len(x))
            y = [call(operator, of_onednn(part), layers, 2, 1, **pooling).asnumpy() for part in parts]
            found.append(hashlib.sha256(np.concatenate(y)).hexdigest()[:16])
    return found


@pytest.mark.parametrize('threads', [1, 2, 5])
def test_as_many_threads_as_there_are(threads):
    code = f'from tests.nn.test_native_float import digests; print(*digests({threads}))'
    assert python(code, OMP_NUM_THREADS=str(threads)) == digests()


def test_rounds_to_the_nearest_bfloat16_halves_to_the_even_one():
    """Means of two numbers of bfloat16, in float32 exact, round as NumPy does; whole vectors and parts of one."""
    need_cpu('bfloat16')
    rng = np.random.default_rng(0)
    for channels in (64, 70):
        x = rng.integers(0, 2 ** 9, (2, 2 * channels, 9, 7)).astype('float32')      # of which 257 and more have 9 bits
        x = (x.view(np.uint32) & 0xffff0000).view(np.float32)
        shapes = (6, channels, 1, 1), 6, (2 * channels, 6, 1, 1), 2 * channels
        layers = [np.zeros(shape, 'float32') for shape in shapes]
        mean = (x[:, :channels] + x[:, channels:]) / 2
        bits = mean.view(np.uint32)
        wanted = ((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000).view(np.float32)
        assert (wanted != mean).mean() > 0.1
        np.testing.assert_array_equal(in_bfloat16(x, layers, 2, 1), wanted)


@pytest.mark.parametrize('change', [dict(radix=3), dict(radix=0), dict(pooling=0), dict(dtype='float64'),
                                    dict(inner=5), dict(cardinality=2 ** 32)], ids=str)
def test_refuses_what_does_not_fit(operator, change):
    settings = {'radix': 2, 'cardinality': 2, 'dtype': 'float32', 'inner': 6, **change}
    x, *layers = inputs(2, 2, (1, 4, 3, 3))
    x = plain(x).astype(settings.pop('dtype'))
    layers[0] = layers[0][:settings.pop('inner')]
    with pytest.raises(mx.MXNetError, match='split_attention_float'):
        operator(x, *map(mx.nd.array, layers), **settings).wait_to_read()
