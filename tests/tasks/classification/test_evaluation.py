"""Counts of correct samples against sorting, ties and NaN included."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.tasks.classification.evaluation import count_correct, cross_entropy, evaluate, softmax


@pytest.mark.parametrize('classes', [2, 4, 5, 6, 1000])
def test_counts_equal_sorting(classes):
    rng = np.random.default_rng(classes)
    logits, labels = rng.normal(size=(200, classes)).astype('float32'), rng.integers(0, classes, 200)
    order = np.argsort(-logits, axis=1)
    wanted = sum(order[:, 0] == labels), sum(label in row[:5] for label, row in zip(labels, order))
    assert count_correct(logits, labels) == wanted


def test_equal_logits_and_nan_are_no_success():
    logits = np.array([[1, 1, 1, 1, 1, 1, 1], [np.nan] * 7, [0, 9, np.nan, 0, 0, 0, 0]])
    assert count_correct(logits, np.array([0, 3, 1])) == (0, 1)


def test_softmax_is_mxnets_and_large_logits_do_not_overflow():
    logits = np.random.default_rng(0).normal(0, 3, (5, 7)).astype('float32')
    found = softmax(logits)
    np.testing.assert_allclose(found, mx.nd.softmax(mx.nd.array(logits)).asnumpy(), rtol=1e-5)
    assert found.dtype == 'float64'
    np.testing.assert_allclose(softmax(logits + np.float32(1 << 17)).sum(axis=1), 1, rtol=1e-12)


def test_the_loss_of_large_logits():
    found = cross_entropy(np.array([[1e30, 0, 0], [1e4, 1e4, 0], [-1e30, 0, 0]], 'float32'), np.array([0, 1, 0]))
    np.testing.assert_allclose(found, [0, np.log(2), 1e30], rtol=1e-6)


def test_evaluate_adds_the_batches():
    rng = np.random.default_rng(0)
    batches = [(rng.integers(0, 255, (n, 2, 2, 3), dtype=np.uint8), rng.integers(0, 7, n)) for n in (4, 4, 3)]
    weights = mx.nd.array(rng.normal(size=(12, 7)))
    seen, sizes = [], set()

    def net(x):
        sizes.add(len(x))
        return mx.nd.dot(x.astype('float32').reshape((0, -1)), weights)

    found = evaluate(net, batches, mx.cpu(), seen.append)
    assert sizes == {4}         # the last batch is filled up: a graph is planned for one size
    logits = np.concatenate([images.reshape(len(images), -1) @ weights.asnumpy() for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    assert (found['correct1'], found['correct5']) == count_correct(logits, labels)
    losses = mx.gluon.loss.SoftmaxCrossEntropyLoss()(mx.nd.array(logits), mx.nd.array(labels))
    assert found['loss'] == pytest.approx(losses.sum().asscalar(), rel=1e-5)
    assert (found['seen'], seen) == (11, [4, 4, 3])
    assert (found['images_per_second'] > 0, found['nonfinite']) == (True, 0)


def test_evaluate_nothing():
    assert evaluate(None, [], mx.cpu()) == {'correct1': 0, 'correct5': 0, 'seen': 0, 'nonfinite': 0, 'loss': 0,
                                            'images_per_second': None}


def test_what_is_not_finite_is_counted_and_no_part_of_the_loss():
    logits = np.array([[0, 0], [np.nan, 0], [np.inf, 0]], 'float32')
    images, labels = np.zeros((3, 2, 2, 3), np.uint8), np.zeros(3, int)
    found = evaluate(lambda x: mx.nd.array(logits), [(images, labels)], mx.cpu())
    assert (found['nonfinite'], found['loss']) == (2, pytest.approx(np.log(2)))
