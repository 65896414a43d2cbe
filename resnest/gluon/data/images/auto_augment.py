"""AutoAugment's ImageNet policy (Cubuk et al., 2019, https://arxiv.org/abs/1805.09501, tables 6 and 9) in Pillow.

An operation takes ``(image, level)`` with the level as a share of its range in the paper, 0 to 1, and returns
an image of the same size. The positions that a geometric one uncovers become grey.
"""
from PIL import Image, ImageEnhance, ImageOps

__all__ = ['AutoAugment', 'GREY', 'OPERATIONS', 'POLICY', 'apply']

GREY = (128, 128, 128)


def _affine(coefficients):
    """An operation from ``coefficients(signed level, width, height)``: output to input position."""
    def operation(image, level):
        return image.transform(image.size, Image.AFFINE, coefficients(level, *image.size), Image.BILINEAR,
                               fillcolor=GREY)
    return operation


def _enhance(kind):
    """Blend with a degenerate image: factor 0.1 at level 0, 1 (the identity) in the middle, 1.9 at level 1."""
    return lambda image, level: kind(image).enhance(0.1 + 1.8 * level)


# name → (operation, whether the level gets a random sign)
OPERATIONS = {
    'ShearX': (_affine(lambda level, w, h: (1, 0.3 * level, 0, 0, 1, 0)), True),
    'ShearY': (_affine(lambda level, w, h: (1, 0, 0, 0.3 * level, 1, 0)), True),
    'TranslateX': (_affine(lambda level, w, h: (1, 0, 150 / 331 * w * level, 0, 1, 0)), True),
    'TranslateY': (_affine(lambda level, w, h: (1, 0, 0, 0, 1, 150 / 331 * h * level)), True),
    'Rotate': (lambda image, level: image.rotate(30 * level, Image.BILINEAR, fillcolor=GREY), True),
    'AutoContrast': (lambda image, level: ImageOps.autocontrast(image), False),
    'Invert': (lambda image, level: ImageOps.invert(image), False),
    'Equalize': (lambda image, level: ImageOps.equalize(image), False),
    'Solarize': (lambda image, level: ImageOps.solarize(image, round(256 * (1 - level))), False),
    'Posterize': (lambda image, level: ImageOps.posterize(image, 8 - round(4 * level)), False),
    'Contrast': (_enhance(ImageEnhance.Contrast), False),
    'Color': (_enhance(ImageEnhance.Color), False),
    'Brightness': (_enhance(ImageEnhance.Brightness), False),
    'Sharpness': (_enhance(ImageEnhance.Sharpness), False),
}

# Table 9: each sub-policy is two of (operation, probability, magnitude 0 to 9).
POLICY = (
    (('Posterize', 0.4, 8), ('Rotate', 0.6, 9)), (('Solarize', 0.6, 5), ('AutoContrast', 0.6, 5)),
    (('Equalize', 0.8, 8), ('Equalize', 0.6, 3)), (('Posterize', 0.6, 7), ('Posterize', 0.6, 6)),
    (('Equalize', 0.4, 7), ('Solarize', 0.2, 4)), (('Equalize', 0.4, 4), ('Rotate', 0.8, 8)),
    (('Solarize', 0.6, 3), ('Equalize', 0.6, 7)), (('Posterize', 0.8, 5), ('Equalize', 1.0, 2)),
    (('Rotate', 0.2, 3), ('Solarize', 0.6, 8)), (('Equalize', 0.6, 8), ('Posterize', 0.4, 6)),
    (('Rotate', 0.8, 8), ('Color', 0.4, 0)), (('Rotate', 0.4, 9), ('Equalize', 0.6, 2)),
    (('Equalize', 0.0, 7), ('Equalize', 0.8, 8)), (('Invert', 0.6, 4), ('Equalize', 1.0, 8)),
    (('Color', 0.6, 4), ('Contrast', 1.0, 8)), (('Rotate', 0.8, 8), ('Color', 1.0, 2)),
    (('Color', 0.8, 8), ('Solarize', 0.8, 7)), (('Sharpness', 0.4, 7), ('Invert', 0.6, 8)),
    (('ShearX', 0.6, 5), ('Equalize', 1.0, 9)), (('Color', 0.4, 0), ('Equalize', 0.6, 3)),
    (('Equalize', 0.4, 7), ('Solarize', 0.2, 4)), (('Solarize', 0.6, 5), ('AutoContrast', 0.6, 5)),
    (('Invert', 0.6, 4), ('Equalize', 1.0, 8)), (('Color', 0.6, 4), ('Contrast', 1.0, 8)),
    (('Equalize', 0.8, 8), ('Equalize', 0.6, 3)),
)


def apply(image, name, level, rng):
    """One operation; geometric ones go either way with equal chance."""
    operation, signed = OPERATIONS[name]
    return operation(image, -level if signed and rng.random() < 0.5 else level)


class AutoAugment:
    """A random sub-policy of the ImageNet policy: ``(image, rng) → image``."""

    def __repr__(self):
        return 'AutoAugment()'

    def __call__(self, image, rng):
        for name, probability, magnitude in POLICY[rng.integers(len(POLICY))]:
            if rng.random() < probability:
                image = apply(image, name, magnitude / 9, rng)
        return image
