"""The pixels of an annotated picture."""
import numpy as np

from resnest.reading import one_line

from .images.decoding import Picture, opened, picture_bytes
from .loader import WrongRecord

__all__ = ['pixels_of_size']


def pixels_of_size(path, size, told_by, decoding='upright'):
    """A picture, uint8 ``(H, W, 3)``: upright, unless it is as it is stored that it has the ``size``, height and width,
    which the annotations ``told_by`` tell.

    Raises BadImage for a damaged picture, and WrongRecord for one of another size.
    """
    (height, width), where = size, one_line(path, 1000)
    with opened(picture_bytes(path), where, decoding) as picture:
        if picture.size != (width, height):
            stored = Picture(picture.image)
            if stored.size != (width, height):
                raise WrongRecord(f'{where}: {picture.size[0]} x {picture.size[1]} pixels, but {told_by} tells {width} '
                                  f'x {height}; mend one of them')
            picture = stored
        return np.asarray(picture.whole())
