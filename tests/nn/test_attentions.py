"""Squeeze-excitation, scSE and selective kernels against loops over samples, positions and channels, in NumPy."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.nn import ConcurrentSqueezeExcitation, SelectiveKernelConv, SqueezeExcitation

from ..conftest import randomize

EPSILON = 1e-5


def values(net):
    return {name: param.data().asnumpy().astype('f8') for name, param in net._collect_params_with_prefix().items()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(given, name, vector):
    """A 1×1 convolution of one position."""
    weight = given[f'{name}.weight'][:, :, 0, 0]
    return np.array([(row * vector).sum() for row in weight]) + given.get(f'{name}.bias', 0)


def gates(given, x):
    means = np.array([channel.mean() for channel in x])
    return sigmoid(dense(given, 'fc2', np.maximum(dense(given, 'fc1', means), 0)))


@pytest.mark.parametrize('channels, inner', [(48, 8), (192, 16), (256, 16), (320, 24)])
def test_squeeze_excitation(channels, inner):
    net = randomize(SqueezeExcitation(channels))
    assert net.fc1.weight.shape == (inner, channels, 1, 1)
    x, given = np.random.default_rng(0).normal(size=(2, channels, 3, 4)), values(net)
    found = net(mx.nd.array(x)).asnumpy()
    for sample, out in zip(x, found):
        for channel, gate in enumerate(gates(given, sample)):
            np.testing.assert_allclose(out[channel], gate * sample[channel], rtol=1e-4, atol=1e-5)


def test_concurrent_squeeze_excitation():
    net = randomize(ConcurrentSqueezeExcitation(32))
    x, given = np.random.default_rng(0).normal(size=(2, 32, 3, 4)), values(net)
    found = net(mx.nd.array(x)).asnumpy()
    for sample, out in zip(x, found):
        channels = gates(given, sample)
        for row, column in np.ndindex(3, 4):
            vector = sample[:, row, column]
            position = sigmoid(dense(given, 'position', vector))
            np.testing.assert_allclose(out[:, row, column], vector * channels + vector * position, rtol=1e-4, atol=1e-5)


def normalized(given, name, channel, value):
    return ((value - given[f'{name}.running_mean'][channel]) / np.sqrt(given[f'{name}.running_var'][channel] + EPSILON)
            * given[f'{name}.gamma'][channel] + given[f'{name}.beta'][channel])


def path(given, name, x, spread, strides, groups):
    """ReLU of the normalized 3×3 convolution with that dilation, output by output."""
    weight = given[f'{name}.0.weight']
    height, width = (-(-side // strides) for side in x.shape[1:])
    padded = np.pad(x, ((0, 0), (spread, spread), (spread, spread)))
    out = np.zeros((len(weight), height, width))
    for channel, row, column in np.ndindex(out.shape):
        first = channel // (len(weight) // groups) * weight.shape[1]
        rows, columns = (slice(at * strides, at * strides + 2 * spread + 1, spread) for at in (row, column))
        seen = padded[first:first + weight.shape[1], rows, columns]
        out[channel, row, column] = normalized(given, f'{name}.1', channel, (weight[channel] * seen).sum())
    return np.maximum(out, 0)


@pytest.mark.parametrize('halves, groups, strides, dilation', [(False, 1, 1, 1), (True, 1, 2, 1), (False, 4, 2, 1),
                                                               (True, 2, 1, 2)])
def test_selective_kernel(halves, groups, strides, dilation):
    net = randomize(SelectiveKernelConv(12, 8, strides, dilation, groups, halves, rounding=8))
    x, given = np.random.default_rng(0).normal(size=(2, 8, 5, 6)), values(net)
    found = net(mx.nd.array(x)).asnumpy()
    for sample, out in zip(x, found):
        first, second = (sample[:4], sample[4:]) if halves else (sample, sample)
        paths = [path(given, f'paths.{number}', part, (number + 1) * dilation, strides, groups)
                 for number, part in enumerate((first, second))]
        inner = dense(given, 'fc1', (paths[0] + paths[1]).mean(axis=(1, 2)))
        inner = np.maximum([normalized(given, 'bn1', channel, value) for channel, value in enumerate(inner)], 0)
        scores = np.exp(dense(given, 'fc2', inner)).reshape(2, 12)
        for channel in range(12):
            shares = scores[:, channel] / scores[:, channel].sum()
            wanted = shares[0] * paths[0][channel] + shares[1] * paths[1][channel]
            np.testing.assert_allclose(out[channel], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('channels, rounding, inner', [(64, 32, 32), (512, 32, 32), (1024, 32, 64), (640, 32, 64),
                                                       (128, 8, 8), (512, 8, 32), (176, 8, 16)])
def test_channels_between_the_layers_of_a_selective_kernel(channels, rounding, inner):
    assert SelectiveKernelConv(channels, 8, rounding=rounding).fc1.weight.shape == (inner, channels, 1, 1)


def test_channels_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match='9 input and 8 output channels cannot be divided into 2 x 1 groups'):
        SelectiveKernelConv(8, 9, halves=True)
