"""All 25 sub-policies of AutoAugment for ImageNet, as a whole, against formulas in NumPy."""
import numpy as np
import pytest
from PIL import Image

from resnest.gluon.data.images.auto_augment import POLICY, AutoAugment

# Table 9 of https://arxiv.org/abs/1805.09501, line by line.
TABLE = '''
Posterize .4 8 Rotate .6 9       | Solarize .6 5 AutoContrast .6 5 | Equalize .8 8 Equalize .6 3
Posterize .6 7 Posterize .6 6    | Equalize .4 7 Solarize .2 4     | Equalize .4 4 Rotate .8 8
Solarize .6 3 Equalize .6 7      | Posterize .8 5 Equalize 1 2     | Rotate .2 3 Solarize .6 8
Equalize .6 8 Posterize .4 6     | Rotate .8 8 Color .4 0          | Rotate .4 9 Equalize .6 2
Equalize 0 7 Equalize .8 8       | Invert .6 4 Equalize 1 8        | Color .6 4 Contrast 1 8
Rotate .8 8 Color 1 2            | Color .8 8 Solarize .8 7        | Sharpness .4 7 Invert .6 8
ShearX .6 5 Equalize 1 9         | Color .4 0 Equalize .6 3        | Equalize .4 7 Solarize .2 4
Solarize .6 5 AutoContrast .6 5  | Invert .6 4 Equalize 1 8        | Color .6 4 Contrast 1 8
Equalize .8 8 Equalize .6 3
'''
SUB_POLICIES = [words.split() for line in TABLE.strip().splitlines() for words in line.split('|')]


def picture(seed, low=20, high=220):
    """Smooth, with colours of its own, 37 pixels wide and 28 high."""
    small = np.random.default_rng(seed).integers(low, high, (6, 8, 3)).astype('uint8')
    return np.asarray(Image.fromarray(small).resize((37, 28), Image.BICUBIC))


def uint8(values):
    return np.asarray(values).clip(0, 255).astype('uint8')


def equalized(channel):
    """Each value to the share of values up to it (half of its own step counted), as the histogram steps."""
    counts = np.bincount(channel.ravel(), minlength=256)
    step = (counts.sum() - counts[channel.max()]) // 255
    if not step:
        return channel
    return uint8((step // 2 + np.cumsum(counts) - counts) // step)[channel]


def stretched(channel):
    low, high = int(channel.min()), int(channel.max())
    return uint8((channel.astype(float) - low) * 255 / (high - low) + 1e-9)


def grey(x):
    return np.floor(x @ [0.299, 0.587, 0.114] + 0.5)[..., None]


def smoothed(x):
    """The mean of 3 × 3 with a weight of 5 in the middle; the border stays."""
    whole = x.copy()
    for row in range(1, x.shape[0] - 1):
        for column in range(1, x.shape[1] - 1):
            window = x[row - 1:row + 2, column - 1:column + 2]
            whole[row, column] = np.floor((window.sum(axis=(0, 1)) + 4 * x[row, column]) / 13 + 0.5)
    return whole


def sampled(x, row_at, column_at):
    """Bilinear samples, rounded down, at ``(row_at, column_at)`` of each place, from the centre; grey outside."""
    height, width = x.shape[:2]
    found = np.full_like(x, 128)
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    for row in range(height):
        for column in range(width):
            down, right = row - middle_row, column - middle_column
            r, c = row_at(down, right) + middle_row, column_at(down, right) + middle_column
            if -0.5 <= r < height - 0.5 and -0.5 <= c < width - 0.5:
                top, left = int(np.floor(r)), int(np.floor(c))
                rows, columns = np.clip([top, top + 1], 0, height - 1), np.clip([left, left + 1], 0, width - 1)
                weights = np.outer([1 - (r - top), r - top], [1 - (c - left), c - left])
                found[row, column] = np.tensordot(weights, x[np.ix_(rows, columns)], 2) + 1e-9
    return found


def formula(name, pixels, magnitude, sign):
    """The operation at a magnitude of 0 to 9, which table 6 spreads over its range."""
    x, share = pixels.astype(float), magnitude / 9
    factor = 0.1 + 1.8 * share
    if name == 'Posterize':
        return pixels & (0xff00 >> (8 - round(4 * share)) & 0xff)
    if name in ('Solarize', 'Invert'):
        return np.where(x < (0 if name == 'Invert' else round(256 - 256 * share)), x, 255 - x).astype('uint8')
    if name in ('Equalize', 'AutoContrast'):
        one = equalized if name == 'Equalize' else stretched
        return np.stack([one(pixels[..., channel]) for channel in range(3)], axis=-1)
    if name in ('Color', 'Contrast', 'Sharpness'):
        other = {'Color': lambda: grey(x), 'Contrast': lambda: np.floor(grey(x).mean() + 0.5),
                 'Sharpness': lambda: smoothed(x)}[name]()
        return uint8(other + factor * (x - other))
    if name == 'Rotate':
        cos, sin = np.cos(np.deg2rad(30 * share * sign)), np.sin(np.deg2rad(30 * share * sign))
        return uint8(sampled(x, lambda down, right: cos * down + sin * right,
                             lambda down, right: cos * right - sin * down))
    assert name == 'ShearX'
    half = pixels.shape[0] / 2
    return uint8(sampled(x, lambda down, right: down, lambda down, right: right + 0.3 * share * sign * (down + half)))


class Draws:
    """A generator whose draws are told: the sub-policy; for each operation its chance, and the sign if it has one."""

    def __init__(self, index, *numbers):
        self.index, self.numbers = index, list(numbers)

    def integers(self, count):
        assert count == 25
        return self.index

    def random(self):
        return self.numbers.pop(0)


@pytest.mark.parametrize('index', range(25))
def test_sub_policy(index):
    """With either sign, both, one or none of its operations, on three pictures of different range."""
    first, second = SUB_POLICIES[index][:3], SUB_POLICIES[index][3:]
    assert POLICY[index] == tuple((name, float(chance), int(magnitude)) for name, chance, magnitude in (first, second))
    cases = [(True, True, 1), (True, True, -1), (True, False, 1), (False, True, -1), (False, False, 1)]
    for seed, (low, high) in enumerate(((20, 220), (0, 256), (90, 140))):
        pixels = picture(seed, low, high)
        for *wanted, sign in cases:
            expected, numbers = pixels, []
            for (name, chance, magnitude), drawn in zip((first, second), wanted):
                number = 0.0 if drawn else 0.999999
                numbers.append(number)
                if number < float(chance):
                    numbers += [0.2 if sign < 0 else 0.7] if name in ('Rotate', 'ShearX') else []
                    expected = formula(name, expected, int(magnitude), sign)
            draws = Draws(index, *numbers)
            found = np.asarray(AutoAugment()(Image.fromarray(pixels), draws))
            assert not draws.numbers
            difference = np.abs(found.astype(int) - expected)
            # A value that lies on a step may fall on either side of it, and Equalize makes steps of 1 larger.
            assert (difference.max(axis=2) <= 1).mean() > 0.98, (index, wanted, sign)
            assert difference.mean() < 0.06, (index, wanted, sign)
