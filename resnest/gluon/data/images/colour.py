"""Colour jitter and PCA lighting, as one matrix for the whole picture.

Brightness, contrast, saturation and lighting are each an affine map of a pixel's colour, so a random
sequence of them is one 3×4 matrix, applied once and rounded once.
"""
import ctypes

import numpy as np

from resnest.gluon.nn.native import compile_function, function

__all__ = ['colour_matrix', 'jitter_and_light', 'make_ready']

KINDS = ('brightness', 'contrast', 'saturation')
LUMA = (0.299, 0.587, 0.114)
# Eigenvalues and eigenvectors of ImageNet's colours (Krizhevsky et al., 2012), on the scale 0 to 255.
EIGENVALUES = np.array([55.46, 4.794, 1.148])
EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def colour_matrix(steps, mean):
    """The 3×4 matrix of a sequence of ``(kind, factor)`` for a picture of the mean colour ``mean`` (3,).

    ``'brightness'``, ``'contrast'`` and ``'saturation'`` blend with black, with the mean grey and with the grey of
    the pixel: factor 1 is the identity. ``'lighting'`` adds its factors (3,) along the principal colours.
    """
    # Each step keeps the form own · I + grey · (1, 1, 1)ᵀ LUMA: shares of the pixel's colour and of its grey. A few
    # numbers of Python's: arrays of three would take ten times as long, and under its lock.
    own, grey, offset = 1.0, 0.0, (0.0, 0.0, 0.0)
    for kind, factor in steps:
        if kind == 'lighting':
            light = EIGENVECTORS @ (np.asarray(factor) * EIGENVALUES)
            offset = [each + more for each, more in zip(offset, light.tolist())]
            continue
        if kind == 'contrast':
            shift = (1 - factor) * ((own + grey) * _luma(mean) + _luma(offset))
        else:
            shift = (1 - factor) * _luma(offset) if kind == 'saturation' else 0.0
        grey = factor * grey + ((1 - factor) * (own + grey) if kind == 'saturation' else 0.0)
        own, offset = factor * own, [factor * each + shift for each in offset]
    return np.array([[grey * weight + own * (row == column) for column, weight in enumerate(LUMA)] + [offset[row]]
                     for row in range(3)])


def _luma(colour):
    return sum(weight * value for weight, value in zip(LUMA, colour))


def jitter_and_light(image, rng, jitter=0.4, lighting=0.1):
    """The pixels, uint8 ``(H, W, 3)``, of an RGB image with brightness, contrast and saturation changed by up to
    ``jitter``, in a random order, then lighting (section 5.1)."""
    steps = [(KINDS[number], 1 + rng.uniform(-jitter, jitter)) for number in rng.permutation([0, 1, 2])]
    steps.append(('lighting', rng.normal(0, lighting, 3)))
    mean = image.resize((1, 1), 4).getpixel((0, 0))         # 4 is Image.BOX
    return recoloured(image, colour_matrix(steps, mean))


def make_ready():
    """To be called before images are recoloured, by threads or processes: compiles the function that does it fast."""
    compile_function('colour_matrix')


def recoloured(image, matrix):
    """The pixels of an RGB image behind a 3×4 matrix: the same with and without the compiled function."""
    native = function('colour_matrix')
    if native is None:
        return np.asarray(image.convert('RGB', matrix.ravel().tolist()))
    pixels = np.asarray(image)
    found, matrix = np.empty_like(pixels), matrix.astype(np.float32)
    start, coefficients, target = (ctypes.c_void_p(array.ctypes.data) for array in (pixels, matrix, found))
    native(start, ctypes.c_int64(pixels.size // 3), coefficients, target)
    return found
