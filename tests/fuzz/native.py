"""Random blocks, operators and shapes: the native operators against the pure path and against NumPy."""
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np

from resnest.errors import MissingPackage
from resnest.gluon.inference.passes.winograd import transformed
from resnest.gluon.mxnet_private import freeze_statistics, structural_parameters
from resnest.gluon.nn import SplitAttentionConv, native, use_native

from ..conftest import randomize

LOADED = all(native.load(name=name) for name in
             ('split_attention', 'split_attention_int8', 'resize_map', 'map_cross_entropy', 'winograd_convolution'))
POOL = ThreadPoolExecutor(4)
REQUESTS = ['write', 'add', 'null']


def case(rng, folder):
    if not LOADED:
        raise MissingPackage('no C++ compiler for the native operators: apt-get install g++')
    rng.choice([block, block, operators, operators, int8, maps, maps, winograd, winograd])(rng)


def near(found, wanted, tolerance, what):
    found, wanted = np.asarray(found, 'float64'), np.asarray(wanted, 'float64')
    assert found.shape == wanted.shape, f'{what}: {found.shape} instead of {wanted.shape}'
    distance = np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-3)
    assert distance < tolerance, f'{what} differs by {distance:.1e}'


def block(rng):
    """A block, native against pure: outputs and all gradients over two steps, with every kind of request.

    Softplus for ReLU and running statistics for the normalization of a few scores: tests/nn/test_native_rounding.py
    says why. Where the two still differ by rounding, float64 must be as far from either.
    """
    radix, cardinality = int(rng.integers(1, 6)), int(rng.choice([1, 2, 4]))
    inputs, channels = radix * cardinality * int(rng.integers(1, 5)), cardinality * int(rng.integers(1, 12))
    if max(inputs * radix // 4, 32) % cardinality:
        inputs *= 4
    shape = tuple(map(int, (rng.integers(1, 5), inputs, *rng.integers(1, 20, 2))))
    strides = int(rng.integers(1, 3)) if min(shape[2:]) > 4 else 1
    training = bool(rng.random() < 0.5 and shape[0] * shape[2] * shape[3] > 64 * strides ** 2)
    hybrid, seed, view = int(rng.integers(3)), int(rng.integers(1 << 30)), not training and rng.random() < 0.5
    of_x, kinds = str(rng.choice(REQUESTS[:2])), {}
    batches = rng.normal(size=(2, *shape))

    def run(native_operators, dtype='float32'):
        made = SplitAttentionConv(channels, inputs, strides=strides, radix=radix, cardinality=cardinality)
        parameters = structural_parameters(randomize(made, seed))
        for child in (made.relu, made.relu1):
            child._act_type = 'softrelu'
        for norm in (made.bn1,) if training else (made.bn, made.bn1):
            freeze_statistics(norm)
        for name, param in parameters.items():
            if param.grad_req != 'null':
                param.grad_req = kinds.setdefault(name, str(rng.choice(REQUESTS)))
        made.cast(dtype)
        made.hybridize(hybrid > 0, static_alloc=hybrid == 2, static_shape=hybrid == 2)
        assert use_native(made, native_operators) is native_operators
        x, found = mx.nd.zeros(shape, dtype=dtype), {}
        x.attach_grad(of_x)
        for step, batch in enumerate(batches):
            x[:] = mx.nd.array(batch, dtype=dtype)
            with mx.autograd.record(train_mode=training):
                y = made(x[:1] if view else x)
            head = np.random.default_rng((seed, step)).normal(size=y.shape)
            y.backward(mx.nd.array(head, dtype=dtype), train_mode=training)
            found[f'output of step {step}'] = y.asnumpy()
        found['gradient of x'] = x.grad.asnumpy()
        return found | {name: parameters[name].grad().asnumpy() for name, kind in kinds.items() if kind != 'null'}

    wanted, found = run(False), run(True)
    largest = max(np.abs(value).max() for name, value in wanted.items() if 'output' not in name)
    far = [name for name, value in wanted.items() if np.abs(found[name] - value).max() > 1e-4 * np.abs(value).max()]
    exact = run(False, 'float64') if far else {}
    for name in far:
        of_pure, of_native = (np.abs(values[name] - exact[name]).max() for values in (wanted, found))
        # Where the softmax is saturated, gradients of the size of the others cancel down to next to nothing.
        allowed = 5 * of_pure + 1e-5 * np.abs(exact[name]).max() + 1e-5 * largest
        assert of_native < allowed, f'{name}: {of_native:.1e} from float64, the pure path {of_pure:.1e}'


def layout(rng, values):
    """An array, plain, as a view of a larger one, or in a layout of oneDNN."""
    kind = rng.integers(4)
    if kind == 1:
        first = int(rng.integers(1, 4))
        padded = np.concatenate([np.full((first, *values.shape[1:]), 1e9), values, values])
        return mx.nd.array(padded)[first:first + len(values)]
    if kind == 2 and values.ndim == 4:
        channels = values.shape[1]
        identity = mx.nd.array(np.eye(channels)[:, :, None, None])
        return mx.nd.Convolution(mx.nd.array(values), identity, no_bias=True, kernel=(1, 1), num_filter=channels)
    return mx.nd.array(values)


def operators(rng):
    """Both float32 operators on arrays of any layout, in several threads, with every kind of request."""
    radix, channels = int(rng.integers(1, 6)), int(rng.integers(1, 40))
    batch, height, width = map(int, rng.integers(1, 12, 3))
    x = rng.normal(size=(batch, radix * channels, height, width))
    weights = rng.normal(size=(batch, radix * channels, 1, 1))
    head, d_pooled = rng.normal(size=(batch, channels, height, width)), rng.normal(size=(batch, channels, 1, 1))

    def summed(value):
        return value.reshape(batch, radix, channels, *value.shape[2:]).sum(axis=1)

    wanted = [summed(x * weights), summed(x.mean(axis=(2, 3), keepdims=True))]
    repeated = np.tile(head, (1, radix, 1, 1))
    d_x = weights * repeated + np.tile(d_pooled, (1, radix, 1, 1)) / (height * width)
    d_weights = (repeated * x).sum(axis=(2, 3), keepdims=True)

    def run(seed):
        mine = np.random.default_rng(seed)
        kinds = [str(mine.choice(REQUESTS)) for _ in range(2)]
        leaves = [layout(mine, x).copy(), layout(mine, weights).copy()]
        gradients = [layout(mine, np.ones_like(value)) for value in (x, weights)]
        mx.autograd.mark_variables(leaves, gradients, kinds)
        steps = int(mine.integers(1, 3))
        for _ in range(steps):
            with mx.autograd.record():
                outputs = [mx.nd.split_attention_sum(*leaves, radix=radix),
                           mx.nd.split_attention_pool(leaves[0], radix=radix)]
            if kinds[0] != 'null' or kinds[1] != 'null':
                count = 1 if kinds[0] == 'null' else 2      # outputs that have a gradient
                heads = [layout(mine, head), layout(mine, d_pooled)]
                mx.autograd.backward(outputs[:count], heads[:count])
        near(outputs[0].asnumpy(), wanted[0], 1e-5, 'the sum')
        near(outputs[1].asnumpy(), wanted[1], 1e-5, 'the pooling')
        for kind, gradient, value in zip(kinds, gradients, (d_x, d_weights)):
            value = {'write': value, 'add': 1 + steps * value, 'null': np.ones_like(value)}[kind]
            near(gradient.asnumpy(), value, 1e-4, f'a gradient with {kind}')
        viewed = [layout(mine, x), layout(mine, weights)]
        near(mx.nd.split_attention_sum(*viewed, radix=radix).asnumpy(), wanted[0], 1e-5, 'the sum of views')
        near(mx.nd.split_attention_pool(viewed[0], radix=radix).asnumpy(), wanted[1], 1e-5, 'the pooling of views')
        whole = mx.nd.full((batch + 2, channels, height, width), 7)
        mx.nd.split_attention_sum(*viewed, radix=radix, out=whole[1:-1])
        near(whole.asnumpy()[1:-1], wanted[0], 1e-5, 'the sum in a view')
        assert (whole.asnumpy()[[0, -1]] == 7).all(), 'written outside of a view'

    seeds = rng.integers(1 << 30, size=int(rng.choice([1, 4]))).tolist()
    list(POOL.map(run, seeds) if len(seeds) > 1 else map(run, seeds))


def int8(rng):
    """The int8 operator against a formula in float64, in both layouts, on views and into views."""
    radix, cardinality = int(rng.integers(1, 6)), int(rng.choice([1, 2, 4]))
    channels, inner = cardinality * int(rng.integers(1, 40)), cardinality * int(rng.integers(1, 10))
    batch, height, width = map(int, rng.integers(1, 10, 3))
    dtype = str(rng.choice(['uint8', 'int8']))
    limits, steps = np.iinfo(dtype), 255.5 if dtype == 'uint8' else 127.5
    limit, bound = rng.uniform(0.1, 5, 2).astype('float32')
    x = rng.integers(limits.min, limits.max + 1, (batch, radix * channels, height, width)).astype(dtype)
    layers = [rng.normal(0, 0.3, size).astype('float32') for size in
              ((inner, channels // cardinality, 1, 1), inner, (radix * channels, inner // cardinality, 1, 1),
               radix * channels)]
    scaled = int(rng.integers(2))
    scale = rng.uniform(0.1, 2, (1, radix * channels, 1, 1)).astype('float32') if scaled else 1
    real = (x * scale.astype('float64') if scaled else x) * (float(limit) / steps)
    splits = real.reshape(batch, radix, channels, height, width)

    def layer(values, weight, bias):
        weight = weight.astype('float64').reshape(cardinality, -1, weight.shape[1])
        return np.einsum('ngi,goi->ngo', values.reshape(batch, cardinality, -1), weight).reshape(batch, -1) + bias

    hidden = np.maximum(layer(splits.mean(axis=(3, 4)).sum(axis=1), *layers[:2]), 0)
    scores = layer(hidden, *layers[2:]).reshape(batch, cardinality, radix, -1)
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    attention = powers / powers.sum(axis=2, keepdims=True) if radix > 1 else 1 / (1 + np.exp(-scores))
    attention = attention.swapaxes(1, 2).reshape(batch, radix, channels, 1, 1)
    wanted = np.clip((attention * splits).sum(axis=1) * (steps / float(bound)), limits.min, limits.max)

    first, kind = int(rng.integers(0, 3)), rng.integers(4)
    padded = mx.nd.array(np.concatenate([x[:1]] * first + [x, x[:1]]), dtype=dtype)
    if kind == 1 and dtype == 'uint8':
        numbers = mx.nd.contrib.quantize_v2(padded.astype('float32'), min_calib_range=0.0, max_calib_range=255.0,
                                            out_type='auto')
        padded = mx.nd.contrib.quantized_pooling(*numbers, kernel=(1, 1), pool_type='max')[0]
    source = padded[first:first + batch] if kind else mx.nd.array(x, dtype=dtype)
    whole, ends = mx.nd.full((batch + 2, *wanted.shape[1:]), 9, dtype=dtype), [mx.nd.zeros(1), mx.nd.zeros(1)]
    arrays = [source, mx.nd.array([-limit / 2]), mx.nd.array([limit]), *map(mx.nd.array, layers)]
    arrays += [mx.nd.array(scale)] if scaled else []
    attributes = dict(radix=radix, cardinality=cardinality, range=float(bound), scaled=scaled)
    found = mx.nd.split_attention_int8(*arrays, **attributes)[0].asnumpy()
    mx.nd.split_attention_int8(*arrays, **attributes, out=[whole[1:-1], *ends])
    distance = np.abs(found - wanted).max()
    assert distance < 0.502, f'{distance} from the formula'
    assert (whole.asnumpy()[1:-1] == found).all(), 'another result in a view'
    assert (whole.asnumpy()[[0, -1]] == 9).all(), 'written outside of a view'


def maps(rng):
    """Resizing and cross entropy of maps of any shape and layout, in several threads, with every kind of request."""
    batch, channels = int(rng.integers(1, 4)), int(rng.integers(1, 40))
    old, new = rng.integers(1, 20, (2, 2))
    x = rng.normal(0, rng.choice([1, 30]), size=(batch, channels, *old))
    rows, columns = (_shares(*sides) for sides in zip(old, new))
    resized = np.einsum('Hh,nchw,Ww->ncHW', rows, x, columns)
    head, losses = rng.normal(size=resized.shape), rng.normal(size=(batch, *old))
    labels = rng.integers(-1, channels + 1, losses.shape)       # those out of range are the nearest
    taken = np.clip(labels, 0, channels - 1)[:, None] == np.arange(channels)[:, None, None]
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    entropy = np.log(powers.sum(axis=1)) + x.max(axis=1) - (x * taken).sum(axis=1)
    d_entropy = losses[:, None] * (powers / powers.sum(axis=1, keepdims=True) - taken)
    d_resized = np.einsum('Hh,ncHW,Ww->nchw', rows, head, columns)

    def run(seed):
        mine = np.random.default_rng(seed)
        sides = dict(zip(('height', 'width'), map(int, new)))
        for what, function, wanted, gradient, heads in (
                ('the resized map', lambda x: mx.nd.resize_map(x, **sides), resized, d_resized, head),
                ('as another map', lambda x: mx.nd.resize_map(x, mx.nd.zeros((1, 2, *new))), resized, d_resized, head),
                ('the cross entropy', lambda x: mx.nd.map_cross_entropy(x, layout(mine, labels)), entropy, d_entropy,
                 losses)):
            near(function(layout(mine, x)).asnumpy(), wanted, 1e-5, f'{what} of a view')
            kind, leaf, made = str(mine.choice(REQUESTS[:2])), layout(mine, x).copy(), layout(mine, np.ones_like(x))
            mx.autograd.mark_variables([leaf], [made], [kind])
            with mx.autograd.record():
                found = function(leaf)
            mx.autograd.backward([found], [layout(mine, heads)])
            near(found.asnumpy(), wanted, 1e-5, what)
            near(made.asnumpy(), gradient + (kind == 'add'), 1e-4, f'the gradient of {what} with {kind}')

    seeds = rng.integers(1 << 30, size=int(rng.choice([1, 4]))).tolist()
    list(POOL.map(run, seeds) if len(seeds) > 1 else map(run, seeds))


def _shares(old, new):
    """The share ``(new, old)`` of each old position in each new one, corners aligned."""
    places = np.arange(new) * (old - 1) / max(new - 1, 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old)))


def winograd(rng):
    """A convolution of any size against mxnet's, in any layout, in several threads."""
    settings = {'groups': int(rng.integers(1, 4)), 'dilation': int(rng.integers(1, 6)), 'relu': int(rng.integers(2))}
    groups, dilation, relu = settings.values()
    inner, outer = (16 * int(rng.integers(1, 9)) for _ in range(2))
    x = rng.normal(size=(int(rng.integers(1, 5)), groups * inner, *map(int, rng.integers(1, 24, 2))))
    weight = rng.normal(0, (2 / 9 / inner) ** 0.5, (groups * outer, inner, 3, 3))
    bias, transform = map(mx.nd.array, (rng.normal(size=groups * outer), transformed(weight)))
    wanted = mx.nd.Convolution(mx.nd.array(x), mx.nd.array(weight), bias, kernel=(3, 3), pad=(dilation, dilation),
                               dilate=(dilation, dilation), num_group=groups, num_filter=groups * outer).asnumpy()

    def run(seed):
        return mx.nd.winograd_convolution(layout(np.random.default_rng(seed), x), transform, bias, **settings).asnumpy()

    for found in POOL.map(run, rng.integers(1 << 30, size=4)):
        near(found, np.maximum(wanted, 0) if relu else wanted, 3e-5, "Winograd's convolution")
