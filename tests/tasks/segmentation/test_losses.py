"""The loss of maps against loops over pixels."""
import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.nn import native
from resnest.gluon.tasks.segmentation.losses import SegmentationLoss

SHAPE = 3, 4, 5, 6      # images, classes, height, width


def maps(ignored=-1, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (3, 5, 6))
    labels[rng.random(labels.shape) < 0.3] = ignored
    labels[1, 2:] = ignored     # one image has fewer
    return rng.normal(0, 2, SHAPE), rng.normal(0, 2, SHAPE), labels


def pixels(logits, labels, ignored, weights=None):
    """``(image, weight, minus log probability)`` of each pixel that counts, the least probable first."""
    found = []
    for place in np.ndindex(labels.shape):
        image, row, column = place
        label, scores = labels[place], logits[image, :, row, column]
        if label != ignored:
            found.append((image, weights[label] if weights else 1.0, np.log(np.exp(scores).sum()) - scores[label]))
    return sorted(found, key=lambda each: -each[2])


def mean(counted):
    return sum(weight * loss for _, weight, loss in counted) / sum(weight for _, weight, _ in counted)


@pytest.fixture(params=[True, False], ids=['native', 'pure'], autouse=True)
def path(request, monkeypatch):
    """Each test by the native operator, where there is a compiler, and without it."""
    if request.param:
        native.load(name='map_cross_entropy')
    monkeypatch.setattr(SegmentationLoss, 'native', request.param)


@pytest.mark.parametrize('ignored', [-1, 255])
@pytest.mark.parametrize('weights', [None, [1, 0.5, 0, 3]])
def test_mean_over_the_pixels_that_count(ignored, weights):
    logits, aux, labels = maps(ignored)
    loss = SegmentationLoss(ignored=ignored, class_weights=weights)
    found = loss(mx.nd.array(logits), mx.nd.array(labels)).asnumpy()
    counted = pixels(logits, labels, ignored, weights)
    total = sum(weight for _, weight, _ in counted) / 3
    wanted = [sum(weight * value for image, weight, value in counted if image == number) / total for number in range(3)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert found.mean() == pytest.approx(mean(counted), rel=1e-5)
    both = loss(mx.nd.array(logits), mx.nd.array(labels), mx.nd.array(aux)).asnumpy().mean()
    assert both == pytest.approx(mean(counted) + 0.5 * mean(pixels(aux, labels, ignored, weights)), rel=1e-5)


@pytest.mark.parametrize('threshold, share', [(0.3, 0), (0.3, 0.1), (0.01, 0.4), (0.999, 1), (0.001, 1)])
def test_hard_pixels(threshold, share):
    """At most that probable, and never less than that share of all 90; those that are easier have no gradient."""
    logits, _, labels = maps()
    counted = pixels(logits, labels, -1)
    hard = max(sum(np.exp(-value) <= threshold for *_, value in counted), min(len(counted), int(np.ceil(share * 90))))
    x = mx.nd.array(logits)
    x.attach_grad()
    with mx.autograd.record():
        losses = SegmentationLoss(hard_threshold=threshold, hard_share=share)(x, mx.nd.array(labels))
    losses.backward()
    assert losses.asnumpy().mean() == pytest.approx(mean(counted[:hard]), rel=1e-5)
    assert (np.abs(x.grad.asnumpy()).sum(axis=1) > 0).sum() == hard


def test_nothing_counts():
    x = mx.nd.array(maps()[0])
    x.attach_grad()
    with mx.autograd.record():
        losses = SegmentationLoss(hard_threshold=0.7)(x, mx.nd.full((3, 5, 6), -1))
    losses.backward()
    assert losses.asnumpy().tolist() == [0, 0, 0]
    assert (x.grad.asnumpy() == 0).all()


@pytest.mark.parametrize('options', [{'aux_weight': -1}, {'aux_weight': float('nan')}, {'class_weights': [1, -1]},
                                     {'class_weights': []}, {'class_weights': [[1]]}, {'hard_threshold': 1.5},
                                     {'hard_share': 2}])
def test_refuses_nonsense(options):
    with pytest.raises(InputError, match='must be'):
        SegmentationLoss(**options)
    with pytest.raises(InputError, match='3 class weights, but 4 classes'):
        SegmentationLoss(class_weights=[1, 1, 1])(mx.nd.zeros(SHAPE), mx.nd.zeros((3, 5, 6)))
