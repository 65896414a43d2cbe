"""What AutoAugment draws, and what its operations do at the ends of their ranges."""
import collections

import numpy as np
import pytest
from PIL import Image

from resnest.gluon.data.images.auto_augment import OPERATIONS, POLICY, AutoAugment, apply
from resnest.gluon.data.images.rand_augment import RandAugment


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    low = rng.integers(20, 220, (6, 8, 3)).astype('uint8')
    return np.asarray(Image.fromarray(low).resize((40, 30), Image.BICUBIC))


def run(name, pixels, level):
    return np.asarray(OPERATIONS[name][0](Image.fromarray(pixels), level)).astype(int)


def test_published_magnitudes_of_the_ranges_ends():
    """Table 6: posterize keeps 4 to 8 bits, solarize from 256 down to 0."""
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert [len(np.unique(run('Posterize', ramp, magnitude / 9))) for magnitude in (0, 9)] == [256, 16]
    np.testing.assert_array_equal(run('Solarize', ramp, 0), ramp)
    np.testing.assert_array_equal(run('Solarize', ramp, 1), 255 - ramp)
    np.testing.assert_array_equal(run('Invert', ramp, 0.3), 255 - ramp)


def test_equalize_flattens_each_channel():
    pixels = np.random.default_rng(0).normal(90, 25, (100, 100, 3)).clip(0, 255).astype('uint8')
    found = run('Equalize', pixels, 0.5)
    for channel in range(3):
        before, after = pixels[..., channel].ravel(), found[..., channel].ravel()
        # Order is kept, and the share of pixels up to a value is that value's share of 255.
        assert (np.diff(after[np.argsort(before, kind='stable')]) >= 0).all()
        for value in (64, 128, 192):
            assert abs((after <= value).mean() - value / 255) < 0.06


def test_policy_is_that_of_the_paper():
    assert len(POLICY) == 25
    assert POLICY[0] == (('Posterize', 0.4, 8), ('Rotate', 0.6, 9))
    assert POLICY[18] == (('ShearX', 0.6, 5), ('Equalize', 1.0, 9))
    counted = collections.Counter(name for pair in POLICY for name, _, _ in pair)
    assert sum(counted.values()) == 50
    assert (counted['Equalize'], counted['Rotate'], counted['Sharpness'], counted['TranslateX']) == (17, 6, 1, 0)
    assert all(0 <= chance <= 1 and magnitude in range(10) for pair in POLICY for _, chance, magnitude in pair)


def test_sub_policies_are_drawn_evenly_and_their_operations_by_their_chance(monkeypatch):
    seen = collections.Counter()
    monkeypatch.setattr('resnest.gluon.data.images.auto_augment.apply',
                        lambda image, name, level, rng: seen.update([(name, round(9 * level))]) or image)
    draws = 20000
    rng = np.random.default_rng(0)
    for _ in range(draws):
        AutoAugment()(None, rng)
    wanted = collections.Counter()
    for pair in POLICY:
        for name, probability, magnitude in pair:
            wanted[name, magnitude] += probability * draws / 25
    for key, count in wanted.items():
        assert abs(seen[key] - count) <= 5 * np.sqrt(count) + 1, key
    assert seen.keys() <= wanted.keys()


def test_geometric_signs_are_even(pixels):
    rng = np.random.default_rng(0)
    image = Image.fromarray(pixels)
    moved = [np.asarray(apply(image, 'TranslateX', 0.5, rng))[15, 0, 0] == 128 for _ in range(200)]
    assert 70 < sum(moved) < 130


@pytest.mark.parametrize('policy', [AutoAugment(), RandAugment(3, 5)])
def test_policies_keep_size_and_follow_the_generator(policy, pixels):
    image = Image.fromarray(pixels)
    results = [np.asarray(policy(image, np.random.default_rng(seed))) for seed in range(40)]
    again = [np.asarray(policy(image, np.random.default_rng(seed))) for seed in range(40)]
    assert all(result.shape == pixels.shape and result.dtype == np.uint8 for result in results)
    assert all((one == other).all() for one, other in zip(results, again))
    assert len({result.tobytes() for result in results}) > 15    # the rest drew no operation
