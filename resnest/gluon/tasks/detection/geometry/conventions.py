"""How a code base counts pixels and chooses boxes: weights want to be used as they were trained."""
import math
from dataclasses import dataclass

__all__ = ['CONVENTIONS', 'Convention']


@dataclass(frozen=True)
class Convention:
    """What differs between Detectron2 and gluoncv.

    ``growth`` is the logarithm by which decoding lets a side grow at most. ``rounded`` anchors have whole sides and
    lie in the middle of their cells. ``by_level`` suppression of proposals goes on in each level by itself, and
    counts the best of each level instead of all of them. A side is ``extra`` pixels longer than the difference of its
    ends where the level of a region is chosen. RoIAlign is ``aligned`` to the centres of pixels and takes ``samples``
    along each axis of a bin, 0 for as many as it has positions; without ``aligned`` no side of a region is shorter
    than a position. Detections are ``clipped`` to their image before their suppression or not at all. Images are
    ``padded`` to multiples of 32 pixels, or maps cut where they do not fit. The last level is thinned out of the one
    before, or a ``convolution_on_top`` of the pyramid.
    """
    growth: float = math.log(1000 / 16)
    rounded: bool = False
    by_level: bool = True
    extra: int = 0
    aligned: bool = True
    samples: int = 0
    clipped: bool = True
    padded: bool = True
    convolution_on_top: bool = False


CONVENTIONS = {
    'detectron2': Convention(),
    'gluoncv': Convention(growth=4.14, rounded=True, by_level=False, extra=1, aligned=False, samples=2, clipped=False,
                          padded=False, convolution_on_top=True),
}
