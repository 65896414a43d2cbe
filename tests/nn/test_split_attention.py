"""Split-Attention against the paper's own, cardinality-major description in loops of NumPy."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.nn import SplitAttentionConv

from ..conftest import randomize, relative_error

IN, OUT, SIZE = 48, 24, 7


def convolve(x, weight, strides):
    """3×3 convolution with padding 1: ``(C, H, W)`` and ``(D, C, 3, 3)`` to ``(D, H', W')``."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::strides, ::strides]
    return np.einsum('chwij,dcij->dhw', windows, weight)


def normalize(x, params, name, first, last):
    gamma, beta, mean, var = (params[f'{name}.{key}'][first:last] for key in
                              ('gamma', 'beta', 'running_mean', 'running_var'))
    shape = (-1,) + (1,) * (x.ndim - 1)
    return ((x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + 1e-5) * gamma.reshape(shape)
            + beta.reshape(shape))


def naive(x, params, radix, cardinality, strides):
    """One image through cardinal group after cardinal group (figure 2 and section 3.1 of the paper)."""
    width = OUT // cardinality                      # channels of a cardinal group
    part = IN // (radix * cardinality)              # input channels of a split
    inner = len(params['fc1.bias']) // cardinality
    groups = []
    for k in range(cardinality):
        splits = []
        for r in range(radix):
            g = r * cardinality + k                 # radix-major: where the split lies in the layer
            out = slice(g * width, (g + 1) * width)
            u = convolve(x[g * part:(g + 1) * part], params['conv.weight'][out], strides)
            splits.append(np.maximum(normalize(u, params, 'bn', out.start, out.stop), 0))
        s = sum(splits).mean(axis=(1, 2))
        hidden = slice(k * inner, (k + 1) * inner)
        z = params['fc1.weight'][hidden, :, 0, 0] @ s + params['fc1.bias'][hidden]
        z = np.maximum(normalize(z, params, 'bn1', hidden.start, hidden.stop), 0)
        last = slice(k * radix * width, (k + 1) * radix * width)
        logits = (params['fc2.weight'][last, :, 0, 0] @ z + params['fc2.bias'][last]).reshape(radix, width)
        if radix == 1:
            weights = 1 / (1 + np.exp(-logits))
        else:
            weights = np.exp(logits) / np.exp(logits).sum(axis=0)
        groups.append(sum(weights[r][:, None, None] * splits[r] for r in range(radix)))
    return np.concatenate(groups)


@pytest.mark.parametrize('strides', [1, 2])
@pytest.mark.parametrize('cardinality', [1, 2, 4])
@pytest.mark.parametrize('radix', [1, 2, 3, 4])
def test_equals_the_naive_loop(radix, cardinality, strides):
    block = randomize(SplitAttentionConv(OUT, IN, strides=strides, radix=radix, cardinality=cardinality), seed=radix)
    params = {name: param.data().asnumpy() for name, param in block._collect_params_with_prefix().items()}
    x = np.random.default_rng(1).normal(size=(2, IN, SIZE, SIZE)).astype('float32')
    found = block(mx.nd.array(x)).asnumpy()
    wanted = np.stack([naive(image, params, radix, cardinality, strides) for image in x])
    assert found.shape == (2, OUT, -(-SIZE // strides), -(-SIZE // strides))
    assert relative_error(found, wanted) < 1e-5


@pytest.mark.parametrize('radix', [1, 2, 3])
def test_gradients_equal_finite_differences(radix):
    block = randomize(SplitAttentionConv(4, 6, radix=radix))
    block.cast('float64')
    block.hybridize()
    x = mx.nd.array(np.random.default_rng(0).normal(size=(2, 6, 4, 4)), dtype='float64')
    head = mx.nd.array(np.random.default_rng(1).normal(size=(2, 4, 4, 4)), dtype='float64')
    x.attach_grad()
    with mx.autograd.record(train_mode=False):
        value = (block(x) * head).sum()
    value.backward(train_mode=False)
    rng = np.random.default_rng(2)
    for _ in range(5):
        direction = mx.nd.array(rng.normal(size=x.shape), dtype='float64')
        ahead, behind = ((block(x + step * direction) * head).sum().asscalar() for step in (1e-6, -1e-6))
        wanted = (x.grad * direction).sum().asscalar()
        assert abs((ahead - behind) / 2e-6 - wanted) < 1e-5 * max(1, abs(wanted))


@pytest.mark.parametrize('settings', [dict(radix=0), dict(cardinality=0), dict(radix=5), dict(cardinality=7)])
def test_refuses_what_cannot_be_divided(settings):
    with pytest.raises(ValueError, match='radix'):
        SplitAttentionConv(24, 48, **settings)


def test_refuses_layers_that_cannot_be_divided():
    """150 // 4 = 37 channels between the fully connected layers."""
    with pytest.raises(ValueError, match='37 channels .* cardinality 2'):
        SplitAttentionConv(24, 150, radix=1, cardinality=2)
