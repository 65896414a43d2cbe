"""Mixup: where its shares come from, and what it makes of the images."""
import mxnet as mx
import numpy as np
import pytest
from scipy import stats

from resnest.gluon.streams import AUGMENTATION, generator
from resnest.gluon.tasks.classification.mixing.mixup import draw, mix


def test_a_share_depends_on_seed_epoch_and_sample_alone():
    indices = np.array([7, 3, 1_281_166, 0])
    whole = draw(1, 2, indices)
    assert (whole.dtype, whole.shape) == (np.float32, (4,))
    for place, index in enumerate(indices):
        assert draw(1, 2, [index]) == whole[place]      # alone, as on a rank with a batch of one
    np.testing.assert_array_equal(draw(1, 2, indices[::-1]), whole[::-1])
    for other in (draw(0, 2, indices), draw(1, 3, indices), draw(1, 2, indices + 1)):
        assert not np.isin(other, whole).any()


@pytest.mark.parametrize('alpha', [0.2, 1.0])
def test_shares_have_the_distribution_beta(alpha):
    found = draw(0, 0, np.arange(4000), alpha)
    assert stats.kstest(found, stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.05


def test_one_share_for_a_batch():
    found = draw(0, 0, [5, 6, 7], mode='batch')
    np.testing.assert_array_equal(found, np.repeat(draw(0, 0, [5]), 3))
    assert found.dtype == np.float32


def test_augmentation_draws_other_numbers():
    augmentation = generator(AUGMENTATION, 0, 0, 5).beta(0.2, 0.2)
    assert draw(0, 0, [5])[0] != np.float32(augmentation)


@pytest.mark.parametrize('dtype', ['uint8', 'float32'])
@pytest.mark.parametrize('count', [1, 2, 5, 8])
def test_images_are_mixed_with_the_reversed_batch(count, dtype):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 6, 7, 3)).astype(dtype)
    lam = rng.random(count).astype('float32')
    given = mx.nd.array(images, dtype=dtype)
    found = mix(given, mx.nd.array(lam))
    share = lam[:, None, None, None].astype('float64')
    wanted = images * share + images[::-1] * (1 - share)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.asnumpy(), wanted, atol=1e-4)
    np.testing.assert_array_equal(given.asnumpy(), images)
    np.testing.assert_array_equal(mix(given, mx.nd.ones(count)).asnumpy(), images)
