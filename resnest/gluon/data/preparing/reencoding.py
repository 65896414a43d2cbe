"""Whether an encoded image can be decoded, and a smaller JPEG of it (Pillow)."""
import io
import warnings

from PIL import Image, ImageFile

__all__ = ['BadImage', 'check', 'shrink']

LONGEST_EDGE = 65_500       # pixels of a JPEG (libjpeg)


class BadImage(ValueError):
    """An image that cannot be decoded; the message is the reason."""


def load(data):
    """The image of encoded bytes, wholly decoded; raises BadImage."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False     # importing gluoncv's data sets turns it on for the whole process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')     # about metadata; what is decoded is not touched by it
            image = Image.open(io.BytesIO(data))
            image.load()
    except Exception as error:      # Pillow raises whatever the bytes lead it to
        reason = 'it is empty' if not data else str(error).split(' <')[0] or type(error).__name__
        raise BadImage(reason) from None
    return image


def check(data):
    """Decode the whole image and return ``data`` as they are."""
    load(data)
    return data


def shrink(data, short_edge, quality):
    """An RGB JPEG whose short edge has ``short_edge`` pixels (bicubic, aspect kept), whatever was encoded before."""
    image = load(data)
    scale = short_edge / min(image.size)
    size = tuple(max(short_edge, round(edge * scale)) for edge in image.size)
    if max(size) > LONGEST_EDGE:
        raise BadImage(f'{image.size[0]} x {image.size[1]} pixels: too long for a JPEG of short edge {short_edge}')
    buffer = io.BytesIO()
    image.convert('RGB').resize(size, Image.BICUBIC).save(buffer, 'jpeg', quality=quality)
    return buffer.getvalue()
