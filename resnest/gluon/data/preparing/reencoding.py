"""Whether an encoded image can be decoded, and a smaller JPEG of it (Pillow)."""
import io
import warnings
from contextlib import contextmanager

from PIL import Image

from ..images.decoding import BadImage, opened

__all__ = ['check', 'shrink']

LONGEST_EDGE = 65_500       # pixels of a JPEG (libjpeg)


def check(data, where='the image'):
    """Decode the whole image, as training does, and return ``data`` as they are; raises BadImage."""
    with _quietly(data, where, 'stored') as picture:
        picture.whole()
    return data


def shrink(data, short_edge, quality, decoding, where='the image'):
    """An RGB JPEG of the pixels that training sees by the rule ``decoding``; it has no EXIF.

    Its short edge has ``short_edge`` pixels (bicubic, aspect kept); a smaller image keeps its size. Raises BadImage.
    """
    with _quietly(data, where, decoding) as picture:
        image = picture.whole()
        scale = min(1, short_edge / min(image.size))
        size = tuple(max(min(short_edge, edge), round(edge * scale)) for edge in image.size)
        if max(size) > LONGEST_EDGE:
            raise BadImage(where, f'{image.size[0]} x {image.size[1]} pixels: too long for a JPEG of short edge '
                                  f'{min(size)}')
        buffer = io.BytesIO()
        image.resize(size, Image.BICUBIC).save(buffer, 'jpeg', quality=quality)
    return buffer.getvalue()


@contextmanager
def _quietly(data, where, decoding):
    """The picture, without Pillow's warnings about metadata: what is decoded is not touched by them."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with opened(data, where, decoding) as picture:
            yield picture
