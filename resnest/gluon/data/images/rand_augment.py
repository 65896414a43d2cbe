"""RandAugment (Cubuk et al., 2019, https://arxiv.org/abs/1909.13719), as its authors' code has it, on Pillow images."""
from PIL import ImageOps

from resnest.errors import InputError

from .auto_augment import GREY, OPERATIONS

__all__ = ['CHOICES', 'RandAugment']

MOST = 30               # the largest magnitude; the paper has 28 for EfficientNet-B7
AUTHORS_SIZE = 224      # px: what the authors' 100 px of translation and 40 px of Cutout are taken to refer to
TRANSLATION = (100 / AUTHORS_SIZE) / (150 / 331)        # relative to AutoAugment's


def _solarize_add(image, level):
    added = int(110 * level)
    return image.point([min(value + added, 255) if value < 128 else value for value in range(256)] * 3)


def _cutout(image, level, rng):
    """A grey square, whose middle is anywhere in the image, and which its border cuts off."""
    width, height = image.size
    half = int(40 * level * min(width, height) / AUTHORS_SIZE)
    x, y = int(rng.integers(width)), int(rng.integers(height))
    image = image.copy()
    image.paste(GREY, (max(0, x - half), max(0, y - half), min(width, x + half), min(height, y + half)))
    return image


# Each ``(image, level)``, with the magnitude divided by 10 as the level.
OWN = {
    'Posterize': lambda image, level: ImageOps.posterize(image, min(8, int(4 * level))),
    'Solarize': lambda image, level: ImageOps.solarize(image, int(256 * level)),
    'SolarizeAdd': _solarize_add,
    'TranslateX': lambda image, level: OPERATIONS['TranslateX'][0](image, TRANSLATION * level),
    'TranslateY': lambda image, level: OPERATIONS['TranslateY'][0](image, TRANSLATION * level),
}
CHOICES = ('AutoContrast', 'Equalize', 'Invert', 'Rotate', 'Posterize', 'Solarize', 'Color', 'Contrast', 'Brightness',
           'Sharpness', 'ShearX', 'ShearY', 'TranslateX', 'TranslateY', 'Cutout', 'SolarizeAdd')


class RandAugment:
    """``count`` operations, each any of 16 with equal chance, at one magnitude: ``(image, rng) → image``.

    The list and the magnitudes are those of the authors' reference code (``distort_image_with_randaugment`` in
    https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet/autoaugment.py), which are not those of
    the listing in the paper (14 operations, Identity among them). At the magnitude M:

    ============================================  ===================================================================
    AutoContrast, Equalize, Invert                have no magnitude
    Rotate                                        by 3 M degrees, either way with equal chance
    ShearX, ShearY                                by 0.03 M, either way
    TranslateX, TranslateY                        by 10 M px of 224, either way
    Color, Contrast, Brightness, Sharpness        by the factor 0.1 + 0.18 M: 1, no change, at 5
    Posterize                                     to int(0.4 M) bits, at most 8: the fewer, the smaller M is
    Solarize                                      inverts values from int(25.6 M) on: the fewer, the larger M is
    SolarizeAdd                                   adds int(11 M) to values below 128
    Cutout                                        a grey square of int(4 M) px of 224 either way from its middle
    ============================================  ===================================================================

    The defaults are the paper's for ResNet-50 (section 4.4). Three things differ from that code: it translates and cuts
    out by pixels whatever the size of the image; its Contrast takes the number of pixels / 256 for the mean grey, ours
    the mean; and its geometric operations take the nearest pixel, ours are bilinear. Raises InputError for a count
    below 1 and a magnitude outside of 0 to 30.
    """

    def __init__(self, count=2, magnitude=9):
        if count < 1 or not 0 <= magnitude <= MOST:
            raise InputError(f'RandAugment takes 1 operation or more at a magnitude of 0 to {MOST}, got {count} at '
                             f'{magnitude}')
        self.count = count
        self.magnitude = magnitude
        self.level = magnitude / 10

    def __repr__(self):
        return f'RandAugment(count={self.count}, magnitude={self.magnitude:g})'

    def __call__(self, image, rng):
        for index in rng.integers(len(CHOICES), size=self.count):
            image = distort(image, CHOICES[index], self.level, rng)
        return image


def distort(image, name, level, rng):
    """One operation; geometric ones go either way with equal chance."""
    if name == 'Cutout':
        return _cutout(image, level, rng)
    operation, signed = OPERATIONS.get(name, (None, False))
    return OWN.get(name, operation)(image, -level if signed and rng.random() < 0.5 else level)
