"""Pictures that someone asks about: the files that a command line names, and the pixels of one.

They are turned upright by EXIF, as their viewers show them.
"""
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any, Optional, Protocol, Union

import mxnet as mx
import numpy as np
from PIL import Image

from resnest.errors import InputError
from resnest.reading import one_line

from .class_folders import IMAGE_SUFFIXES, foreign_note, images_below
from .decoding import Picture, blamed, opened, picture_bytes
from .samples import Samples
from .transforms import Evaluation, normalization, preprocessing

__all__ = ['OnePicture', 'PictureTransform', 'Pictures', 'create_transform', 'each_picture', 'find_pictures',
           'is_one_picture', 'read_picture']


class MXNetArray(Protocol):
    """An NDArray: MXNet tells type checkers nothing."""

    def asnumpy(self) -> Any: ...


OnePicture = Union[str, 'os.PathLike[str]', Image.Image, np.ndarray, MXNetArray]
Pictures = Union[OnePicture, Iterable[OnePicture]]
LOADING = Lock()        # of an image that is given: it may be the one of another thread, too


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


def is_one_picture(pictures: Pictures) -> bool:
    """Whether a picture is given, and not an iterable of pictures or the path of a folder."""
    if isinstance(pictures, (str, os.PathLike)):
        return not os.path.isdir(os.path.expanduser(pictures))
    return not isinstance(pictures, Iterable) or isinstance(pictures, (Image.Image, np.ndarray, mx.nd.NDArray, bytes))


def each_picture(pictures: Pictures) -> Iterator[OnePicture]:
    """Yield the pictures that are meant: one, those of an iterable, and for the path of a folder those in it.

    An iterable is asked for no more than is taken. Raises InputError for a folder without pictures.
    """
    for picture in [pictures] if is_one_picture(pictures) or isinstance(pictures, (str, os.PathLike)) else pictures:
        if isinstance(picture, (str, os.PathLike)) and not is_one_picture(picture):
            yield from find_pictures([picture])
        else:
            yield picture


def read_picture(picture, transform):
    """The pixels that ``transform(picture, None)`` makes of the :class:`.Picture` that is given.

    ``picture`` is a path, a PIL image, or a uint8 array ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``, of NumPy or MXNet.

    Raises InputError, in one line that names the file, where it is no picture, a damaged one, or larger than memory.
    """
    where = picture if isinstance(picture, (str, os.PathLike)) else f'the {type(picture).__name__}'
    try:
        if where is picture:
            with opened(picture_bytes(picture), picture, 'upright') as opened_picture:
                return transform(opened_picture, None)
        image = picture if isinstance(picture, Image.Image) else _from_array(picture)
        with blamed(where):
            with LOADING:
                image.load()        # whole: drafting would change the size of an image that belongs to the caller
                own = Picture(image, 'upright')
            return transform(own, None)
    except MemoryError:
        raise InputError(f'{one_line(where)}: not enough memory for it; make the picture smaller') from None


def _from_array(array):
    """A PIL image of a uint8 array."""
    array = array.asnumpy() if isinstance(array, mx.nd.NDArray) else array
    if not isinstance(array, np.ndarray):
        raise InputError(f'a picture is a path, a PIL image or an array, got {type(array).__name__}')
    if array.dtype != np.uint8 or not (array.ndim == 2 or array.ndim == 3 and array.shape[2] in (3, 4)) or \
            not array.size:
        raise InputError(f'an array that is a picture is uint8, (height, width, 3 or 4) or (height, width), got '
                         f'{array.dtype} {array.shape}')
    return Image.fromarray(array)


class PictureTransform:
    """From one picture to what a network takes: float32 ``(3, size, size)``, resized, cropped and normalized.

    Called with what :func:`read_picture` takes; :meth:`pixels` stops before the normalization.
    """

    def __init__(self, crop: Evaluation, mean, std):
        self.crop = crop
        self._normalize = normalization(mean, std)

    def __call__(self, picture: OnePicture) -> Any:
        return self._normalize(mx.nd.array(self.pixels(picture)[None], dtype='uint8'))[0]

    def pixels(self, picture: OnePicture) -> np.ndarray:
        """uint8 ``(size, size, 3)``, NumPy."""
        return read_picture(picture, self.crop)

    def __repr__(self):
        return f'PictureTransform({self.crop!r})'


def create_transform(net: Any, size: Optional[int] = None, ratio: Optional[float] = None) -> PictureTransform:
    """The :class:`PictureTransform` that a network's weights want (``net.spec``).

    ``size`` (pixels) and ``ratio`` (crop / resized short edge) are the network's own unless given:
    ``net(create_transform(net)('cat.jpg').expand_dims(0))`` are the logits of a picture. Raises InputError for what is
    no network with a ``spec``, and for a size or ratio that is none.
    """
    if not all(hasattr(net, name) for name in ('collect_params', 'spec')):
        raise InputError('the transform is made for a network with a spec, as get_model makes it, got '
                         f'{one_line(repr(net), 60)}')
    return PictureTransform(Evaluation(*preprocessing(net.spec, size, ratio)), net.spec.mean, net.spec.std)
