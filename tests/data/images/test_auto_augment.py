"""AutoAugment's and RandAugment's operations against formulas in NumPy."""
import collections

import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data.images.auto_augment import OPERATIONS, POLICY, TRANSFORMS, AutoAugment, RandAugment, apply

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    low = rng.integers(20, 220, (6, 8, 3)).astype('uint8')
    return np.asarray(Image.fromarray(low).resize((40, 30), Image.BICUBIC))


def run(name, pixels, level):
    return np.asarray(OPERATIONS[name][0](Image.fromarray(pixels), level)).astype(int)


def blend(degenerate, pixels, level):
    factor = np.linspace(0.1, 1.9, 10)[round(level * 9)]        # the ten magnitudes of the paper
    return (degenerate + factor * (pixels - degenerate)).clip(0, 255)


@pytest.mark.parametrize('magnitude', [0, 2, 4, 8, 9])
def test_colour_operations(pixels, magnitude):
    level, x = magnitude / 9, pixels.astype(float)
    grey = x @ LUMA
    wanted = {'Brightness': blend(0 * x, x, level), 'Color': blend(grey[..., None], x, level),
              'Contrast': blend(np.full_like(x, grey.mean()), x, level)}
    for name, value in wanted.items():
        assert np.abs(run(name, pixels, level) - value).max() <= 2, name
    threshold = np.linspace(256, 0, 10)[magnitude]
    inverted = np.where(x < round(threshold), x, 255 - x)
    np.testing.assert_array_equal(run('Solarize', pixels, level), inverted)
    bits = 8 - round(magnitude * 4 / 9)
    np.testing.assert_array_equal(run('Posterize', pixels, level), pixels >> (8 - bits) << (8 - bits))


def test_published_magnitudes_of_the_ranges_ends():
    """Table 6: posterize keeps 4 to 8 bits, solarize from 256 down to 0."""
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert [len(np.unique(run('Posterize', ramp, magnitude / 9))) for magnitude in (0, 9)] == [256, 16]
    np.testing.assert_array_equal(run('Solarize', ramp, 0), ramp)
    np.testing.assert_array_equal(run('Solarize', ramp, 1), 255 - ramp)
    np.testing.assert_array_equal(run('Invert', ramp, 0.3), 255 - ramp)


def test_sharpness_blends_with_a_smoothed_image(pixels):
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    x = pixels.astype(float)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(0, 1))
    smooth = x.copy()
    smooth[1:-1, 1:-1] = np.einsum('hwcij,ij->hwc', windows, kernel)
    assert np.abs(run('Sharpness', pixels, 7 / 9) - blend(smooth, x, 7 / 9)).max() <= 2


def test_autocontrast_stretches_each_channel(pixels):
    x = pixels.astype(float)
    low, high = x.min(axis=(0, 1)), x.max(axis=(0, 1))
    assert np.abs(run('AutoContrast', pixels, 0.5) - (x - low) * 255 / (high - low)).max() <= 1


def test_equalize_flattens_each_channel():
    pixels = np.random.default_rng(0).normal(90, 25, (100, 100, 3)).clip(0, 255).astype('uint8')
    found = run('Equalize', pixels, 0.5)
    for channel in range(3):
        before, after = pixels[..., channel].ravel(), found[..., channel].ravel()
        # Order is kept, and the share of pixels up to a value is that value's share of 255.
        assert (np.diff(after[np.argsort(before, kind='stable')]) >= 0).all()
        for value in (64, 128, 192):
            assert abs((after <= value).mean() - value / 255) < 0.06


def grey_outside(pixels, rows, columns):
    """Bilinear samples at fractional positions; grey where they lie outside."""
    height, width = pixels.shape[:2]
    r0, c0 = np.floor(rows).astype(int), np.floor(columns).astype(int)
    total = np.zeros((*rows.shape, 3))
    for dr in (0, 1):
        for dc in (0, 1):
            weight = np.abs(1 - dr - (rows - r0)) * np.abs(1 - dc - (columns - c0))
            total += weight[..., None] * pixels[(r0 + dr).clip(0, height - 1), (c0 + dc).clip(0, width - 1)]
    inside = (rows >= -0.5) & (rows < height - 0.5) & (columns >= -0.5) & (columns < width - 0.5)
    return np.where(inside[..., None], total, 128)


@pytest.mark.parametrize('level', [5 / 9, -5 / 9])
@pytest.mark.parametrize('name', ['ShearX', 'ShearY', 'TranslateX', 'TranslateY', 'Rotate'])
def test_geometric_operations(pixels, name, level):
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(float)
    if name == 'Rotate':
        angle = np.deg2rad(30 * level)
        y, x = rows - (height - 1) / 2, columns - (width - 1) / 2
        source = (np.cos(angle) * y + np.sin(angle) * x + (height - 1) / 2,
                  np.cos(angle) * x - np.sin(angle) * y + (width - 1) / 2)
    else:
        source = {'ShearX': (rows, columns + 0.3 * level * (rows + 0.5)),
                  'ShearY': (rows + 0.3 * level * (columns + 0.5), columns),
                  'TranslateX': (rows, columns + 150 / 331 * width * level),
                  'TranslateY': (rows + 150 / 331 * height * level, columns)}[name]
    found, wanted = run(name, pixels, level), grey_outside(pixels.astype(float), *source)
    # The border's rounding may fall either way on a few positions.
    assert (np.abs(found - wanted).max(axis=2) > 2).mean() < 0.04
    assert (found == 128).all(axis=2).mean() > 0.02 or name == 'Rotate'


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


def test_rand_augment_draws_each_operation_of_the_paper_alike(monkeypatch):
    """Section 3's list, each with a chance of 1 in 14, all at one magnitude."""
    seen = collections.Counter()
    monkeypatch.setattr('resnest.gluon.data.images.auto_augment.apply',
                        lambda image, name, level, rng: seen.update([(name, round(level, 9))]) or image)
    rng = np.random.default_rng(0)
    for _ in range(7000):
        RandAugment(2, 9)(None, rng)
    assert {name for name, _ in seen} == {*TRANSFORMS} == {
        'Identity', 'AutoContrast', 'Equalize', 'Rotate', 'Solarize', 'Color', 'Posterize', 'Contrast', 'Brightness',
        'Sharpness', 'ShearX', 'ShearY', 'TranslateX', 'TranslateY'}
    assert len(seen) == 14
    assert all(abs(count - 1000) < 5 * np.sqrt(1000) for count in seen.values())
    assert {level for name, level in seen if name != 'Solarize'} == {0.9}


def only(name, monkeypatch):
    monkeypatch.setattr('resnest.gluon.data.images.auto_augment.TRANSFORMS', (name,))


@pytest.mark.parametrize('magnitude', [0, 3, 9, 10])
def test_magnitudes_of_rand_augment(magnitude, monkeypatch):
    """Against what its docstring promises, on a ramp of all values."""
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    image, x = Image.fromarray(ramp), ramp.astype(float)
    factor, bits = 0.1 + 0.18 * magnitude, 8 - round(0.4 * magnitude)
    wanted = {'Identity': x, 'AutoContrast': x, 'Brightness': (factor * x).clip(0, 255), 'Color': x,
              'Contrast': (127.5 + factor * (x - 127.5)).clip(0, 255), 'Posterize': ramp >> (8 - bits) << (8 - bits),
              'Solarize': np.where(x < round(25.6 * magnitude), x, 255 - x)}
    for name, value in wanted.items():
        only(name, monkeypatch)
        found = np.asarray(RandAugment(1, magnitude)(image, np.random.default_rng(0))).astype(float)
        assert np.abs(found - value).max() <= 1.5, name
    # How much grey it uncovers: whole rows or columns, and the last row or column.
    white = Image.new('RGB', (331, 331), 'white')
    for name, count in (('TranslateX', lambda grey: grey.all(axis=0).sum() - 15 * magnitude),
                        ('TranslateY', lambda grey: grey.all(axis=1).sum() - 15 * magnitude),
                        ('ShearX', lambda grey: grey[-1].sum() - 0.03 * magnitude * 331),
                        ('ShearY', lambda grey: grey[:, -1].sum() - 0.03 * magnitude * 331)):
        only(name, monkeypatch)
        for seed in range(4):
            grey = np.asarray(RandAugment(1, magnitude)(white, np.random.default_rng(seed)))[..., 0] == 128
            assert abs(count(grey)) <= 1.5, name
    white.paste('black', (0, 164, 331, 167))
    only('Rotate', monkeypatch)
    rows, columns = np.nonzero(np.asarray(RandAugment(1, magnitude)(white, np.random.default_rng(0)))[..., 0] < 64)
    slope = np.polyfit(columns, rows, 1)[0]
    assert abs(abs(np.rad2deg(np.arctan(slope))) - 3 * magnitude) < 0.3


def test_rand_augment_hardly_inverts(pixels):
    """With Invert among its operations it was 9 of 100 of these."""
    image, x = Image.fromarray(pixels), pixels.astype(float).ravel()
    inverted = 0
    for seed in range(600):
        found = np.asarray(RandAugment()(image, np.random.default_rng(seed))).astype(float).ravel()
        inverted += found.std() > 0 and np.corrcoef(found, x)[0, 1] < -0.5
    assert inverted == 0


@pytest.mark.parametrize('settings', [(0, 9), (2, -1), (2, 10.5), (2, float('nan'))])
def test_rand_augment_refuses_what_is_off_its_scale(settings):
    with pytest.raises(InputError, match='magnitude of 0 to 10'):
        RandAugment(*settings)
