"""Decodes segmentation maps: their values are labels, not colours, so nothing may change them on the way."""
import numpy as np

from resnest.gluon.data.images.decoding import BadImage, opened
from resnest.gluon.data.images.turning import orientation_of, turn

__all__ = ['read_values']

FORMATS = ('PNG', 'BMP', 'TIFF')        # without loss; a JPEG changes labels
INDICES = ('P', 'L', '1', 'I;16', 'I;16B', 'I')
INVERTED, PHOTOMETRIC = 0, 262      # of TIFF: 0 is white, which Pillow turns round; the tag that says so
SIGNATURE = b'\x89PNG\r\n\x1a\n'
DEPTH, COLOUR_TYPE, GREY = 24, 25, 0        # bytes of a PNG's first chunk (https://www.w3.org/TR/png-3/#11IHDR)


def read_values(data, where, decoding='stored'):
    """``(values, orientation)`` of an encoded map: unsigned ``(H, W)``, the indices of a palette or grey of up to 16
    bits; under the rule ``'upright'`` they are turned by the EXIF orientation, which is 1 where nothing is turned.

    Raises BadImage that names ``where`` for a damaged map, for one in colour, and for a format that loses something.
    """
    with opened(data, where, 'stored') as picture:
        image = picture.image
        if image.format not in FORMATS:
            raise BadImage(where, f'{image.format}, but maps are read from {", ".join(FORMATS)}')
        image.load()
        if image.mode not in INDICES:
            raise BadImage(where, f'its pixels are {image.mode}, not labels: save it as PNG in grey or with a palette')
        if image.format == 'TIFF' and image.tag_v2.get(PHOTOMETRIC) == INVERTED:
            raise BadImage(where, 'a TIFF in which 0 is white: save it as PNG')
        orientation = orientation_of(image) if decoding == 'upright' else 1
        values = np.asarray(turn(image, orientation))
        if values.size and not 0 <= values.min() <= values.max() < 1 << 16:
            raise BadImage(where, 'labels beyond 16 bits')
        values = values.astype(np.uint16 if values.dtype.itemsize > 1 else np.uint8)
        return values // _spread(data), orientation


def _spread(data):
    """By what Pillow multiplies the grey of a PNG with fewer than 8 bits a pixel, so that its white is 255."""
    if not data.startswith(SIGNATURE) or data[COLOUR_TYPE] != GREY or data[DEPTH] not in (2, 4):
        return 1
    return 255 // ((1 << data[DEPTH]) - 1)
