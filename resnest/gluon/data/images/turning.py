"""EXIF orientation: how a stored picture must be turned to stand upright (EXIF 2.3, table 6, tag 0x0112).

A turn is a mirror along x, a mirror along y and an exchange of the axes, or some of them. A box of the upright picture
is therefore a box of the stored one too: a crop is taken there, from a JPEG at a fraction of its size, and only the
crop is turned.
"""
from PIL import Image

__all__ = ['orientation_of', 'stored_box', 'stored_size', 'turn']

TAG = 0x0112
TURNS = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
         6: Image.ROTATE_270, 7: Image.TRANSVERSE, 8: Image.ROTATE_90}
MIRRORED_X, MIRRORED_Y, EXCHANGED = (2, 3, 6, 7), (3, 4, 7, 8), (5, 6, 7, 8)
CARRIERS = {'exif', 'Raw profile type exif'}        # where Pillow notes that there is EXIF; the second is ImageMagick's


def orientation_of(image):
    """The EXIF orientation of a PIL image, 1 to 8; 1, which is upright, where nothing readable tells another.

    What Pillow turns by itself (TIFF) is upright once it is loaded. A picture without EXIF costs one look at a dict.
    """
    if CARRIERS.isdisjoint(image.info):
        return 1
    try:
        found = image.getexif().get(TAG, 1)
        return found if found in TURNS else 1
    except Exception:       # a damaged EXIF block, which can raise nearly anything, says nothing about the pixels
        return 1


def stored_size(size, orientation):
    """``(width, height)`` as stored of an upright picture's, and the other way round."""
    return tuple(size[::-1] if orientation in EXCHANGED else size)


def stored_box(box, size, orientation):
    """Where ``box`` (left, top, right, bottom) of an upright picture of ``size`` lies in the stored one."""
    left, top, right, bottom = box
    if orientation in MIRRORED_X:
        left, right = size[0] - right, size[0] - left
    if orientation in MIRRORED_Y:
        top, bottom = size[1] - bottom, size[1] - top
    return (top, left, bottom, right) if orientation in EXCHANGED else (left, top, right, bottom)


def turn(image, orientation):
    """A stored PIL image, or a crop of it, upright."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image
