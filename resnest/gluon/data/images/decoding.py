"""From encoded bytes to an image of Pillow's: the one place that knows what can go wrong on the way.

Preparing, training, verifying, calibrating, classifying and explaining open their images here, and get the same pixels
from them: RGB of 8 bits, the first frame, over white where it is transparent, more bits than eight by their range.
Whether a picture is turned by its EXIF orientation is the rule of its data set (:mod:`.rules`).
"""
import contextlib
import io
import math

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from resnest.errors import InputError
from resnest.reading import one_line, read_bytes

from .turning import orientation_of, stored_box, stored_size, turn

__all__ = ['BadImage', 'Picture', 'blamed', 'opened', 'picture_bytes']

LARGEST_FILE = 1 << 29      # bytes; what a record of a shard can hold
DRAWN_BY_PROGRAMS = ('EPS', 'WMF')      # Pillow hands their bytes to Ghostscript, or to Windows
SCALED_BY_DECODER = ('JPEG', 'MPO')     # MPO: what phones write, several JPEGs of which the first is the picture
MOST_THUMBNAILS = 8         # smaller versions of a TIFF's page that may lie behind it
MOST_PIXELS_A_BYTE = 64     # of a format that Pillow decodes in Python; a run of QOI has 62
TRANSPARENT = ('RGBA', 'LA', 'PA', 'RGBa', 'La')
NEW_SUBFILE_TYPE = 254      # tag of TIFF; its lowest bit marks a smaller version of another page
HEIF_BRANDS = (b'hei', b'hev', b'mif', b'msf')      # as a file's brand begins
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


class Picture:
    """A PIL image as its viewer sees it, or as it is stored: ``size`` is that, in pixels, and so are its boxes.

    A JPEG is not decoded before pixels are asked for, and then at a fraction of its size where that is enough.
    """

    def __init__(self, image, decoding='stored'):
        if image.format not in SCALED_BY_DECODER:
            image.load()        # which turns a TIFF by itself; the EXIF of a PNG may follow its pixels
        self.image = image
        self._orientation = orientation_of(image) if decoding == 'upright' else 1
        self.size = stored_size(image.size, self._orientation)

    def whole(self):
        """All of it, as an RGB image."""
        self.image.load()
        return turn(_rgb(self.image), self._orientation)

    def resampled(self, box, size, interpolation):
        """``box`` (left, top, right, bottom) of it, resampled to an RGB image of ``size`` (width, height).

        A JPEG whose box is at least twice as large is decoded at a half, a quarter or an eighth of its size.
        """
        image, size = self.image, stored_size(size, self._orientation)
        box = stored_box(box, self.size, self._orientation)
        width, height = image.size
        sides = zip(size, (box[2] - box[0], box[3] - box[1]))
        side, least = min(sides, key=lambda pair: pair[1] / pair[0])        # the one that shrinks least
        if image.format in SCALED_BY_DECODER and least >= 2 * side:
            image.draft(image.mode, (math.ceil(width * side / least), math.ceil(height * side / least)))
            x, y = image.size[0] / width, image.size[1] / height
            box = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
        # Mirrored and scaled, an edge may lie beside the picture by a rounding error, which Pillow refuses.
        box = [min(max(edge, 0), most) for edge, most in zip(box, 2 * image.size)]
        return turn(_rgb(image).resize(size, interpolation, box), self._orientation)


@contextlib.contextmanager
def opened(data, where, decoding):
    """The :class:`Picture` of encoded bytes, for the block of a ``with``; what fails in there is the image's fault.

    Decoding may start with the first operation on the pixels: the block must hold all work up to the array.
    ``decoding`` is a rule of :data:`.DECODINGS`.

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
        yield Picture(image, decoding)
    except InputError:
        raise
    except Exception as error:
        if plausible and isinstance(error, MemoryError):
            raise
        raise BadImage(where, _reason(error, data) if len(data) else 'it is empty') from error


@contextlib.contextmanager
def blamed(where):
    """Raise BadImage that names ``where`` for any exception in the block but an InputError and a MemoryError: of an
    image that somebody else has opened."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise BadImage(where, _reason(error, b'')) from error


def _is_plausible(image, size):
    return image.width * image.height <= (1 << 20) + MOST_PIXELS_A_BYTE * size


def _refuse(image, size, where, plausible):
    if image.format in DRAWN_BY_PROGRAMS:
        raise BadImage(where, f'{image.format}, which only another program can draw')
    if not plausible and any(tile[0] in Image.DECODERS for tile in image.tile):
        # At a microsecond a pixel, and some decoders go on where the bytes end.
        raise BadImage(where, f'{image.format} of {image.width} x {image.height} pixels in {size} bytes')
    if image.format == 'TIFF' and _has_pages(image):
        raise BadImage(where, 'a TIFF of several pages: save the one that is meant as a file of its own')


def _has_pages(image):
    """Whether a TIFF has another page than its first one; smaller versions of that, which cameras add, are none."""
    with contextlib.suppress(EOFError):
        for number in range(1, MOST_THUMBNAILS + 1):
            image.seek(number)
            if not int(image.tag_v2.get(NEW_SUBFILE_TYPE, 0)) & 1:
                return True
    image.seek(0)
    return False


def _reason(error, data):
    if isinstance(error, UnidentifiedImageError):       # Pillow's message tells the place of a buffer in memory
        found = _foreign_format(bytes(data[:1024]))
        return f'{found}, which is not decoded here: convert it to JPEG or PNG' if found else \
            'cannot identify its format'
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


def _foreign_format(head):
    """The name of a format that pictures often have and Pillow does not decode, by its first bytes; or None."""
    if head[4:8] == b'ftyp':
        return 'AVIF' if head[8:12] in (b'avif', b'avis') else 'HEIC' if head[8:11] in HEIF_BRANDS else None
    if head.startswith((b'\xff\x0a', b'\0\0\0\x0cJXL ')):
        return 'JPEG XL'
    return 'SVG' if b'<svg' in head.lower() else None


def _rgb(image):
    """A PIL image as RGB of 8 bits, over white where it is transparent."""
    if image.mode[0] in 'IF':
        image = _eight_bits(image)
    if image.mode in TRANSPARENT or 'transparency' in image.info:
        image = image.convert('LA') if image.mode == 'La' else image
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
    return image if image.mode == 'RGB' else image.convert('RGB')


def _eight_bits(image):
    """An image of 16 bits a pixel, which Pillow would clip to white, or of fractions, as grey of 8 bits.

    Fractions are a share of 1, or of 255 where one of them is above 1. The value that is transparent becomes white.
    """
    values = np.asarray(image)
    transparent = values == image.info['transparency'] if 'transparency' in image.info else False
    if values.dtype.kind == 'f':
        values = values * (255 if np.nanmax(values, initial=0) <= 1 else 1)
        values = np.nan_to_num(values).clip(0, 255).round()
    else:
        values = values.clip(0, 65535) // 257
    return Image.fromarray(np.where(transparent, 255, values).astype('uint8'))
