"""Colour jitter and PCA lighting, as one matrix for the whole picture.

Brightness, contrast, saturation and lighting are each an affine map of a pixel's colour, so a random
sequence of them is one 3×4 matrix, applied once and rounded once.
"""
import numpy as np

__all__ = ['colour_matrix', 'jitter_and_light']

LUMA = np.array([0.299, 0.587, 0.114])
# Eigenvalues and eigenvectors of ImageNet's colours (Krizhevsky et al., 2012), on the scale 0 to 255.
EIGENVALUES = np.array([55.46, 4.794, 1.148])
EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def colour_matrix(steps, mean):
    """The 3×4 matrix of a sequence of ``(kind, factor)`` for a picture of the mean colour ``mean`` (3,).

    ``'brightness'``, ``'contrast'`` and ``'saturation'`` blend with black, with the mean grey and with the grey of
    the pixel: factor 1 is the identity. ``'lighting'`` adds its factors (3,) along the principal colours.
    """
    matrix, offset = np.eye(3), np.zeros(3)
    for kind, factor in steps:
        if kind == 'lighting':
            offset = offset + EIGENVECTORS @ (np.asarray(factor) * EIGENVALUES)
            continue
        step, shift = np.eye(3) * factor, 0.0
        if kind == 'contrast':
            shift = (1 - factor) * LUMA @ (matrix @ mean + offset)
        elif kind == 'saturation':
            step = step + (1 - factor) * LUMA[None, :]
        matrix, offset = step @ matrix, step @ offset + shift
    return np.column_stack([matrix, offset])


def jitter_and_light(image, rng, jitter=0.4, lighting=0.1):
    """Brightness, contrast and saturation by up to ``jitter`` in a random order, then lighting (section 5.1)."""
    order = rng.permutation(['brightness', 'contrast', 'saturation'])
    steps = [(kind, 1 + rng.uniform(-jitter, jitter)) for kind in order]
    steps.append(('lighting', rng.normal(0, lighting, 3)))
    mean = np.asarray(image.resize((1, 1), 4))[0, 0].astype(float)      # 4 is Image.BOX
    return image.convert('RGB', tuple(colour_matrix(steps, mean).ravel()))
