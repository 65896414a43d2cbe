"""From encoded bytes to an image of Pillow's: the one place that knows what can go wrong on the way.

Preparing, training, verifying, calibrating and classifying open their images here; the pixels themselves are decoded
when they are first needed, in :func:`.transforms.crop`, at a fraction of the size where the crop is small.
"""
import io
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from resnest.errors import InputError
from resnest.reading import one_line, read_bytes

__all__ = ['BadImage', 'eight_bits', 'opened', 'picture_bytes']

LARGEST_FILE = 1 << 29      # bytes; what a record of a shard can hold
DRAWN_BY_PROGRAMS = ('EPS', 'WMF')      # Pillow hands their bytes to Ghostscript, or to Windows
MOST_PIXELS_A_BYTE = 64     # of a format that Pillow decodes in Python; a run of QOI has 62
# What these say is meant for readers; other exceptions say little without their name.
SPEAKING = (OSError, SyntaxError, Image.DecompressionBombError)


class BadImage(InputError):
    """An image that cannot be decoded: the message names it, ``reason`` is what the decoder found."""

    def __init__(self, where, reason):
        super().__init__(one_line(where, 1000), one_line(reason))

    @property
    def reason(self):
        return self.args[1]

    def __str__(self):
        return f'{self.args[0]}: not a readable image ({self.reason})'


@contextmanager
def opened(data, where):
    """The image of encoded bytes, for the block of a ``with``; anything that fails in there is the image's fault.

    The image is not decoded yet when the block begins, so that it may ask a JPEG for a fraction of its size. Decoding
    starts with the first operation on the pixels, and some of it (the transparency of a palette, say) later still: the
    block must hold all work up to the array.

    Raises BadImage that names ``where`` for any exception in the block but an InputError: on damaged bytes Pillow's
    decoders raise whatever these lead them to, struct.error, IndexError and TypeError among them. The exception stays
    with it as its ``__cause__``. A MemoryError is the image's fault where it claims more pixels than its bytes can be
    expected to hold; otherwise it is raised as it is: a good image must not be left out because memory is short.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False     # importing gluoncv's data sets turns it on for the whole process
    plausible = False
    try:
        image = Image.open(io.BytesIO(data))
        plausible = _is_plausible(image, len(data))
        _refuse(image, len(data), where, plausible)
        yield image
    except InputError:
        raise
    except Exception as error:
        if plausible and isinstance(error, MemoryError):
            raise
        raise BadImage(where, _reason(error) if len(data) else 'it is empty') from error


def _is_plausible(image, size):
    return image.width * image.height <= (1 << 20) + MOST_PIXELS_A_BYTE * size


def _refuse(image, size, where, plausible):
    if image.format in DRAWN_BY_PROGRAMS:
        raise BadImage(where, f'{image.format}, which only another program can draw')
    if not plausible and any(tile[0] in Image.DECODERS for tile in image.tile):
        # At a microsecond a pixel, and some decoders go on where the bytes end.
        raise BadImage(where, f'{image.format} of {image.width} x {image.height} pixels in {size} bytes')


def _reason(error):
    if isinstance(error, UnidentifiedImageError):
        return 'cannot identify its format'     # Pillow's message tells the place of a buffer in memory
    if isinstance(error, MemoryError):
        return 'not enough memory for it'
    text = str(error).split(' <')[0]
    if text and isinstance(error, SPEAKING):
        return text
    kind = type(error)
    name = kind.__name__ if kind.__module__ == 'builtins' else f'{kind.__module__}.{kind.__name__}'     # struct.error
    return f'{name}: {text}' if text else name


def picture_bytes(path):
    """The bytes of a file that should be a picture; raises InputError where it cannot be read."""
    return read_bytes(path, LARGEST_FILE)


def eight_bits(image):
    """An image of 16 bits a pixel, which Pillow would clip to white, or of fractions, as grey of 8 bits.

    Fractions are a share of 1, or of 255 where one of them is above 1.
    """
    values = np.asarray(image)
    if values.dtype.kind == 'f':
        values = values * (255 if np.nanmax(values, initial=0) <= 1 else 1)
        values = np.nan_to_num(values).clip(0, 255).round()
    else:
        values = values.clip(0, 65535) // 257
    return Image.fromarray(values.astype('uint8'))
