"""Pictures that someone asks about: the files that a command line names, and the pixels of one.

They are turned upright by EXIF, as their viewers show them.
"""
import os
from pathlib import Path

from resnest.errors import InputError
from resnest.reading import one_line

from .class_folders import IMAGE_SUFFIXES, foreign_note, images_below
from .decoding import opened, picture_bytes
from .samples import Samples

__all__ = ['find_pictures', 'read_picture']


def find_pictures(paths, tell=None):
    """The files among ``paths``, and the pictures in the folders among them, at any depth, in sorted order.

    A file that is named is taken whatever its ending; in folders the rules of :mod:`.class_folders` hold, so that
    hidden files are passed over, and pictures of formats that are not decoded here, of which ``tell`` is called with a
    line. Raises InputError for a path that is not there and for a folder without pictures.
    """
    found = []
    for path in paths:
        path = os.path.expanduser(path)     # unlike pathlib's, these three raise for no name whatever
        if os.path.isdir(path):
            samples = Samples(path)
            inside = list(images_below(Path(path), samples.foreign))
            note = foreign_note(samples)
            if not inside:
                raise InputError(note or f'{one_line(path)}: no pictures ({", ".join(IMAGE_SUFFIXES)}) in this folder')
            if note and tell:
                tell(note)
            found += inside
        elif os.path.exists(path):
            found.append(Path(path))
        else:
            raise InputError(f'{one_line(path) or "an empty name"}: no such file or folder')
    return found


def read_picture(path, transform):
    """The pixels that ``transform(picture, None)`` makes of the :class:`.Picture` in a file.

    Raises InputError, in one line that names the file, where it is no picture, a damaged one, or larger than memory.
    """
    try:
        with opened(picture_bytes(path), path, 'upright') as picture:
            return transform(picture, None)
    except MemoryError:
        raise InputError(f'{one_line(path)}: not enough memory for it; make the picture smaller') from None
