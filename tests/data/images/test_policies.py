"""AutoAugment for ImageNet against formulas in NumPy: each operation, and all 25 sub-policies as a whole."""
import collections
import itertools

import numpy as np
import pytest
from PIL import Image

from resnest.gluon.data.images.auto_augment import OPERATIONS, POLICY, AutoAugment

from .formulas import close, formula, picture

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


# Table 6: the amounts at the magnitudes 0 to 9, by which a picture of 37 × 29 is changed.
RANGES = {'ShearX': (0, 0.3), 'ShearY': (0, 0.3), 'TranslateX': (0, 150 / 331 * 37), 'TranslateY': (0, 150 / 331 * 29),
          'Rotate': (0, 30), 'Solarize': (256, 0), 'Posterize': (8, 4), 'Contrast': (0.1, 1.9), 'Color': (0.1, 1.9),
          'Brightness': (0.1, 1.9), 'Sharpness': (0.1, 1.9)}
SIGNED = {'ShearX', 'ShearY', 'TranslateX', 'TranslateY', 'Rotate'}


def amount(name, magnitude, sign=1):
    if name not in RANGES:
        return None
    found = np.linspace(*RANGES[name], 10)[magnitude] * (sign if name in SIGNED else 1)
    return round(found) if name in ('Posterize', 'Solarize') else found


@pytest.mark.parametrize('name', [*RANGES, 'AutoContrast', 'Equalize', 'Invert'])
def test_each_operation_at_each_magnitude(name):
    """Also those that the policy for ImageNet does not use."""
    operation, signed = OPERATIONS[name]
    assert signed == (name in SIGNED)
    for magnitude in range(10):
        for seed, sign in ((0, 1), (1, -1)) if signed else ((0, 1), (2, 1)):
            pixels = picture(seed)
            found = operation(Image.fromarray(pixels), sign * magnitude / 9)
            assert close(found, formula(name, pixels, amount(name, magnitude, sign))), (magnitude, sign)
    assert OPERATIONS.keys() == {*RANGES, 'AutoContrast', 'Equalize', 'Invert'}


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
                    expected = formula(name, expected, amount(name, int(magnitude), sign))
            draws = Draws(index, *numbers)
            found = AutoAugment()(Image.fromarray(pixels), draws)
            assert not draws.numbers
            assert close(found, expected), (wanted, sign)


@pytest.mark.parametrize('index', range(25))
def test_the_operations_of_a_sub_policy_have_its_probabilities(index, monkeypatch):
    """Each by its own chance, whether the other is done or not."""
    class Chance(np.random.Generator):
        def integers(self, count):
            return index

    done, count, rng = [], 2000, Chance(np.random.PCG64(index))
    monkeypatch.setattr('resnest.gluon.data.images.auto_augment.apply',
                        lambda image, name, level, rng: image + [(name, round(9 * level))])
    for _ in range(count):
        done.append(tuple(AutoAugment()([], rng)))
    pair = [((name, magnitude), chance) for name, chance, magnitude in POLICY[index]]
    wanted = collections.Counter()
    for first, second in itertools.product((True, False), repeat=2):
        chances = [chance if drawn else 1 - chance for drawn, (_, chance) in zip((first, second), pair)]
        key = tuple(operation for drawn, (operation, _) in zip((first, second), pair) if drawn)
        wanted[key] += count * np.prod(chances)
    seen = collections.Counter(done)
    assert seen.keys() <= wanted.keys()
    for key, expected in wanted.items():
        assert abs(seen[key] - expected) <= 4.5 * np.sqrt(expected), key
