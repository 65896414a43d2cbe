"""Pictures as people have them: any format, turned by EXIF, with transparency, with more than 8 bits.

Only pictures that someone asks about are treated so. The ImageNet pipeline neither turns by EXIF nor paints under
transparent pixels, since the networks were trained, and their published accuracy was measured, without.
"""
import os
from pathlib import Path

from PIL import Image

from resnest.errors import InputError
from resnest.reading import one_line

from .class_folders import IMAGE_SUFFIXES, images_below
from .decoding import eight_bits, opened, picture_bytes

__all__ = ['find_pictures', 'read_picture', 'upright']

ORIENTATION = 0x0112        # EXIF tag; 1 is upright
TURNS = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
         6: Image.ROTATE_270, 7: Image.TRANSVERSE, 8: Image.ROTATE_90}


def find_pictures(paths):
    """The files among ``paths``, and the pictures in the folders among them, at any depth, in sorted order.

    A file that is named is taken whatever its ending; in folders the rules of :mod:`.class_folders` hold, so that
    hidden files are passed over. Raises InputError for a path that is not there and for a folder without pictures.
    """
    found = []
    for path in paths:
        path = os.path.expanduser(path)     # unlike pathlib's, these three raise for no name whatever
        if os.path.isdir(path):
            inside = list(images_below(Path(path)))
            if not inside:
                raise InputError(f'{one_line(path)}: no pictures ({", ".join(IMAGE_SUFFIXES)}) in this folder')
            found += inside
        elif os.path.exists(path):
            found.append(Path(path))
        else:
            raise InputError(f'{one_line(path) or "an empty name"}: no such file or folder')
    return found


def read_picture(path, transform):
    """The pixels that ``transform(image, rng)`` makes of the picture in a file.

    Raises InputError, in one line that names the file, where it is no picture, a damaged one, or larger than memory.
    """
    try:
        with opened(picture_bytes(path), path) as image:
            return transform(upright(image), None)
    except MemoryError:
        raise InputError(f'{one_line(path)}: not enough memory for it; make the picture smaller') from None


def upright(image):
    """A PIL image turned by its EXIF orientation, over white where it is transparent, with 8 bits a channel."""
    if image.format != 'JPEG':      # whose tag is read without decoding it
        image.load()                # which turns a TIFF already; the tag of a PNG may follow its pixels
    turn = TURNS.get(_orientation(image))
    image = image if turn is None else image.transpose(turn)
    if image.mode[0] in 'IF':
        image = eight_bits(image)
    if image.mode in ('RGBA', 'LA', 'PA', 'RGBa', 'La') or 'transparency' in image.info:
        image = image.convert('LA') if image.mode == 'La' else image
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image).convert('RGB')
    return image


def _orientation(image):
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:       # a damaged EXIF block, which can raise nearly anything, says nothing about the pixels
        return 1
