"""Whether an encoded image can be decoded, and a smaller JPEG of it (Pillow)."""
import io
import warnings
from contextlib import contextmanager

from PIL import Image

from ..images.decoding import BadImage, eight_bits, opened

__all__ = ['check', 'shrink']

LONGEST_EDGE = 65_500       # pixels of a JPEG (libjpeg)


def check(data, where='the image'):
    """Decode the whole image, to RGB as training does, and return ``data`` as they are; raises BadImage."""
    with _quietly(data, where) as image:
        if image.mode == 'RGB':
            image.load()
        else:
            image.convert('RGB')
    return data


def shrink(data, short_edge, quality, where='the image'):
    """An RGB JPEG whose short edge has ``short_edge`` pixels (bicubic, aspect kept), whatever was encoded before.

    Raises BadImage.
    """
    with _quietly(data, where) as image:
        image.load()        # which turns a TIFF, so that its sides are known only now
        scale = short_edge / min(image.size)
        size = tuple(max(short_edge, round(edge * scale)) for edge in image.size)
        if max(size) > LONGEST_EDGE:
            raise BadImage(where, f'{image.size[0]} x {image.size[1]} pixels: too long for a JPEG of short edge '
                                  f'{short_edge}')
        if image.mode[0] in 'IF':
            image = eight_bits(image)
        buffer = io.BytesIO()
        image.convert('RGB').resize(size, Image.BICUBIC).save(buffer, 'jpeg', quality=quality)
    return buffer.getvalue()


@contextmanager
def _quietly(data, where):
    """The image, without Pillow's warnings about metadata: what is decoded is not touched by them."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with opened(data, where) as image:
            yield image
