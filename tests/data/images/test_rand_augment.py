"""RandAugment as its authors' code has it: the list, the draws, and each operation at its magnitudes by formulas."""
import collections

import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data.images import rand_augment
from resnest.gluon.data.images.rand_augment import CHOICES, RandAugment

from .formulas import close, formula, picture

# available_ops of distort_image_with_randaugment, and the amounts that level_to_arg has there for a magnitude.
AMOUNTS = {'AutoContrast': None, 'Equalize': None, 'Invert': None,
           'Rotate': lambda m: m / 10 * 30, 'Posterize': lambda m: min(8, int(m / 10 * 4)),
           'Solarize': lambda m: int(m / 10 * 256), 'Color': lambda m: m / 10 * 1.8 + 0.1,
           'Contrast': lambda m: m / 10 * 1.8 + 0.1, 'Brightness': lambda m: m / 10 * 1.8 + 0.1,
           'Sharpness': lambda m: m / 10 * 1.8 + 0.1, 'ShearX': lambda m: m / 10 * 0.3,
           'ShearY': lambda m: m / 10 * 0.3, 'TranslateX': lambda m: m / 10 * 100 * 37 / 224,
           'TranslateY': lambda m: m / 10 * 100 * 29 / 224,
           'SolarizeAdd': lambda m: int(m / 10 * 110)}
SIGNED = {'Rotate', 'ShearX', 'ShearY', 'TranslateX', 'TranslateY'}


class Draws:
    """A generator whose draws are told: one operation, and a number for its sign."""

    def __init__(self, name, number):
        self.index, self.number, self.asked = CHOICES.index(name), number, 0

    def integers(self, count, size):
        return [self.index] * size

    def random(self):
        self.asked += 1
        return self.number


@pytest.mark.parametrize('name', AMOUNTS)
def test_each_operation_at_each_magnitude(name):
    """Of the paper's scale, and at the larger ones that it has for EfficientNet."""
    for magnitude in (*range(11), 4.5, 17, 28, 30):
        for seed, sign in ((0, 1), (1, -1)):
            pixels, draws = picture(seed), Draws(name, 0.2 if sign < 0 else 0.7)
            found = RandAugment(1, magnitude)(Image.fromarray(pixels), draws)
            amount = AMOUNTS[name] and AMOUNTS[name](magnitude) * (sign if name in SIGNED else 1)
            assert close(found, formula(name, pixels, amount)), (magnitude, sign)
            assert draws.asked == (name in SIGNED)


@pytest.mark.parametrize('magnitude', [0, 3, 9, 10, 30])
def test_cutout(magnitude, monkeypatch):
    """A square of 2 int(4 M) px of 224, whose middle is anywhere; its border cuts it off."""
    monkeypatch.setattr(rand_augment, 'CHOICES', ('Cutout',))
    half, image = 4 * magnitude, Image.new('RGB', (224, 224), 'white')
    middles = []
    for seed in range(100):
        found = np.asarray(RandAugment(1, magnitude)(image, np.random.default_rng(seed)))
        grey = (found == 128).all(axis=2)
        assert ((found == 255).all(axis=2) | grey).all()
        rows, columns = np.flatnonzero(grey.any(axis=1)), np.flatnonzero(grey.any(axis=0))
        assert grey.sum() == len(rows) * len(columns)
        for places in (rows, columns) if half else ():
            cut = places[0] == 0 or places[-1] == 223
            assert half <= len(places) < 2 * half if cut and len(places) < 2 * half else len(places) == 2 * half
            middles.append(places[0] + half if places[-1] == 223 else places[-1] + 1 - half)
    if half:
        assert min(middles) < 5
        assert max(middles) > 218
    assert (np.asarray(image) == 255).all()


def test_each_operation_is_drawn_alike(monkeypatch):
    """One in 16, all at one magnitude, as often as is asked for."""
    seen = collections.Counter()
    monkeypatch.setattr(rand_augment, 'distort', lambda image, name, level, rng: seen.update([(name, level)]) or image)
    rng = np.random.default_rng(0)
    for _ in range(8000):
        RandAugment(2, 9)(None, rng)
    assert {name for name, _ in seen} == {*AMOUNTS, 'Cutout'} == {*CHOICES}
    assert len(seen) == len(CHOICES) == 16
    assert all(abs(count - 1000) < 5 * np.sqrt(1000) for count in seen.values())
    assert {level for _, level in seen} == {0.9}


@pytest.mark.parametrize('settings', [(0, 9), (2, -1), (2, 30.5), (2, float('nan'))])
def test_refuses_what_is_off_its_scale(settings):
    with pytest.raises(InputError, match='magnitude of 0 to 30'):
        RandAugment(*settings)
