"""Smoothed and mixed cross entropy against sums in NumPy."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.tasks.classification.losses import SmoothedCrossEntropy


def cross_entropy(logits, labels, smoothing):
    """By the definition, in float64: minus the sum over classes of target x log p."""
    target = np.full(logits.shape, smoothing / logits.shape[1])
    target[np.arange(len(labels)), labels] += 1 - smoothing
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -(target * log_p).sum(axis=1)


@pytest.fixture(params=[5, 6], ids=['odd', 'even'])
def batch(request):
    rng = np.random.default_rng(0)
    return rng.normal(size=(request.param, 5)), rng.integers(0, 5, request.param), rng.random(request.param)


@pytest.mark.parametrize('smoothing', [0.0, 0.1, 0.5])
def test_smoothed_cross_entropy(batch, smoothing):
    logits, labels, _ = batch
    found = SmoothedCrossEntropy(smoothing)(mx.nd.array(logits), mx.nd.array(labels)).asnumpy()
    np.testing.assert_allclose(found, cross_entropy(logits, labels, smoothing), rtol=1e-5)


@pytest.mark.parametrize('hybridize', [False, True])
@pytest.mark.parametrize('smoothing', [0.0, 0.1])
def test_mixed_cross_entropy(batch, smoothing, hybridize):
    logits, labels, lam = batch
    loss = SmoothedCrossEntropy(smoothing)
    loss.hybridize(hybridize)
    words = [mx.nd.array(value) for value in (logits, labels, lam)]
    wanted = (lam * cross_entropy(logits, labels, smoothing)
              + (1 - lam) * cross_entropy(logits, labels[::-1], smoothing))
    np.testing.assert_allclose(loss(*words).asnumpy(), wanted, rtol=1e-5)
    unmixed = loss(*words[:2], mx.nd.ones(len(labels)))
    np.testing.assert_allclose(unmixed.asnumpy(), cross_entropy(logits, labels, smoothing), rtol=1e-5)


def test_gradient_is_softmax_minus_target(batch):
    logits, labels, lam = batch
    x = mx.nd.array(logits)
    x.attach_grad()
    with mx.autograd.record():
        loss = SmoothedCrossEntropy(0.1)(x, mx.nd.array(labels), mx.nd.array(lam))
    loss.backward()
    one_hot = np.eye(5) * 0.9 + 0.02
    target = lam[:, None] * one_hot[labels] + (1 - lam[:, None]) * one_hot[labels[::-1]]
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(x.grad.asnumpy(), softmax - target, rtol=1e-4, atol=1e-6)
