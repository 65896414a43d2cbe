"""CutMix: where its boxes come from, what it makes of the images, and the labels' shares."""
import mxnet as mx
import numpy as np
import pytest
from scipy import stats

from resnest.gluon.streams import MIXUP, generator
from resnest.gluon.tasks.classification import ClassificationConfig
from resnest.gluon.tasks.classification.mixing import cutmix, mixup
from resnest.gluon.tasks.classification.mixing.blending import blend, takes_cutmix
from resnest.gluon.tasks.classification.training import Classification


def test_a_box_depends_on_seed_epoch_and_sample_alone():
    indices = np.array([7, 3, 1_281_166, 0])
    whole = cutmix.draw(1, 2, indices, 224, 192)
    assert whole.shape == (4, 4)
    for place, index in enumerate(indices):
        np.testing.assert_array_equal(cutmix.draw(1, 2, [index], 224, 192)[0], whole[place])
    for other in (cutmix.draw(0, 2, indices, 224, 192), cutmix.draw(1, 3, indices, 224, 192)):
        assert not (other == whole).all(axis=1).any()
    batch = cutmix.draw(1, 2, indices, 224, 192, mode='batch')
    np.testing.assert_array_equal(batch, whole[[0, 0, 0, 0]])
    assert generator(MIXUP, 0, 0, 5).beta(1, 1) != cutmix.generator(cutmix.CUTMIX, 0, 0, 5).beta(1, 1)


@pytest.mark.parametrize('alpha', [0.3, 1.0])
def test_boxes_are_those_of_the_paper(alpha):
    """Section 3.1: a box of 1 - Beta(alpha, alpha) of the area with the image's aspect, its middle anywhere."""
    height, width = 1000, 2000
    boxes = cutmix.draw(0, 0, np.arange(3000), height, width, alpha)
    top, left, bottom, right = boxes.T
    assert (boxes >= 0).all()
    assert ((top <= bottom) & (bottom <= height) & (left <= right) & (right <= width)).all()
    inside = (top > 0) & (left > 0) & (bottom < height) & (right < width)
    np.testing.assert_allclose((right - left)[inside], 2 * (bottom - top)[inside], atol=3)
    # Where nothing is cut off, the middle and the side are as they were drawn: a box of side s lies inside with
    # the probability (1 - s)^2, which weighs the sides that were drawn.
    side = np.sqrt(1 - np.random.default_rng(1).beta(alpha, alpha, 200_000))
    weights = (1 - side) ** 2
    assert abs(inside.mean() - weights.mean()) < 0.04
    found = ((bottom - top) / height)[inside]
    assert abs(found.mean() - np.average(side, weights=weights)) < 0.025
    small = inside & (bottom - top < 100)
    middle = ((left + right) / 2 / width)[small]
    assert stats.kstest(middle, 'uniform').pvalue > 1e-4


@pytest.mark.parametrize('count', [1, 2, 5, 8])
def test_boxes_show_the_reversed_batch_and_shares_are_their_area(count):
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 6, 7, 3), dtype=np.uint8)
    boxes = cutmix.draw(3, 0, np.arange(count), 6, 7)
    before, found = images.copy(), cutmix.paste(images, boxes)
    own = np.zeros(count)
    for sample, row, column in np.ndindex(count, 6, 7):
        top, left, bottom, right = boxes[sample]
        cut = top <= row < bottom and left <= column < right
        own[sample] += not cut
        wanted = images[count - 1 - sample if cut else sample, row, column]
        np.testing.assert_array_equal(found[sample, row, column], wanted)
    shares = cutmix.shares(boxes, 6, 7)
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares, own / 42, rtol=1e-6)
    np.testing.assert_array_equal(images, before)


INDICES = np.array([4, 9, 2, 7, 1, 12])


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize('settings', [{'mixup': True}, {'cutmix': True}, {'mixup': True, 'cutmix': True},
                                      {'mixup': True, 'cutmix': True, 'mixup_mode': 'batch'}])
def test_blended_batches(settings, images):
    """Each is that of mixup or of CutMix alone; of one type in every epoch, also where nothing is mixed."""
    config = ClassificationConfig(num_epochs=12, mixup_off_epoch=2, seed=5, **settings)
    kinds, mode = [], config.mixup_mode
    for epoch in range(12):
        x, shares = blend(config, epoch, INDICES, images, mx.cpu())
        assert x.dtype == (np.float32 if config.mixup else np.uint8)
        lam = mixup.draw(5, epoch, INDICES, 0.2, mode)
        boxes = cutmix.draw(5, epoch, INDICES, 8, 8, 1.0, mode)
        mixed = lam[:, None, None, None] * images + (1 - lam[:, None, None, None]) * images[::-1]
        ways = {'off': (images, np.ones(6)), 'mixup': (mixed, lam),
                'cutmix': (cutmix.paste(images, boxes), cutmix.shares(boxes, 8, 8))}
        kinds.append(next(kind for kind, (wanted, share) in ways.items()
                          if np.allclose(x.asnumpy(), wanted, atol=1e-3) and np.allclose(shares.asnumpy(), share)))
    assert kinds[10:] == ['off', 'off']
    assert {*kinds[:10]} == {name for name in ('mixup', 'cutmix') if settings.get(name)}


def test_which_of_the_two_a_batch_gets():
    """Half of the batches each, by their first sample; with one of them in the recipe always that one."""
    both = ClassificationConfig(mixup=True, cutmix=True)
    drawn = [takes_cutmix(both, 0, [index, 3]) for index in range(2000)]
    assert abs(np.mean(drawn) - 0.5) < 0.05
    assert drawn[:50] == [takes_cutmix(both, 0, [index]) for index in range(50)]
    assert drawn[:50] != [takes_cutmix(both, 1, [index]) for index in range(50)]
    assert all(takes_cutmix(ClassificationConfig(cutmix=True), 0, [index]) for index in range(50))
    assert not any(takes_cutmix(ClassificationConfig(mixup=True), 0, [index]) for index in range(50))


def test_the_loss_of_a_cut_batch_is_that_of_its_labels_by_area(images, tiny):
    """Through the task's own methods, against a sum over the pixels' labels."""
    config = ClassificationConfig(cutmix=True, label_smoothing=0.1)
    task = Classification(tiny(), tiny(), config, mx.cpu())
    labels = np.array([0, 3, 1, 2, 9, 4])
    inputs, targets = task.prepare(INDICES, (images, labels), 0, mx.cpu())
    boxes = cutmix.draw(0, 0, INDICES, 8, 8)
    np.testing.assert_array_equal(inputs[0].asnumpy(), cutmix.paste(images, boxes))
    logits = np.random.default_rng(1).normal(size=(6, 10))
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    wanted = np.zeros(6)
    for sample, (top, left, bottom, right) in enumerate(boxes):
        owner = np.full((8, 8), labels[sample])
        owner[top:bottom, left:right] = labels[5 - sample]
        target = np.mean([0.9 * (np.arange(10) == label) + 0.01 for label in owner.ravel()], axis=0)
        wanted[sample] = -(target * log_p[sample]).sum()
    found = task.loss(mx.nd.array(logits), targets).asnumpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
