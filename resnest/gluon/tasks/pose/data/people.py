"""People with joints, annotated as COCO's are, read in place."""
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.gluon.data.annotated import pixels_of_size
from resnest.gluon.data.coco.keypoints import read_keypoints
from resnest.gluon.data.coco.layout import find_split, require_pictures
from resnest.reading import one_line

__all__ = ['PeopleSet', 'open_people']


class PeopleSet(AbstractContextManager):
    """``records.read(i)`` is ``(picture uint8 (H, W, 3), box (4,), points (J, 3))`` of a person.

    A box is left, top, width and height, clipped to the picture; points are x, y and COCO's visibility. People without
    a joint that is annotated, crowds and boxes without an area are left out: there is nothing to learn or to measure.
    All annotations are at hand as ``annotations`` (:class:`resnest.gluon.data.coco.keypoints.Keypoints`). Pictures are
    upright, unless it is as they are stored that they have the size which the annotations tell.

    Parameters
    ----------
    annotations : path
        Of the keypoints, JSON.
    images : path
        The folder of the pictures.

    Raises InputError in one line for what :func:`resnest.gluon.data.coco.keypoints.read_keypoints` refuses, for a
    picture that is missing, and for annotations without any joint.
    """
    decoding = 'upright'

    def __init__(self, annotations, images):
        self.folder = Path(images).expanduser()
        self.annotations = found = read_keypoints(Path(annotations).expanduser())
        size = found.sizes[found.pictures][:, ::-1]
        start = np.clip(found.boxes[:, :2], 0, size)
        self._boxes = np.concatenate([start, np.clip(found.boxes[:, :2] + found.boxes[:, 2:], 0, size) - start], -1)
        useful = ~found.crowd & (self._boxes[:, 2:] > 0).all(-1) & (found.points[..., 2] > 0).any(-1)
        self._chosen = np.flatnonzero(useful)
        if not len(self._chosen):
            raise InputError(f'{found.path}: nobody in its pictures has a joint that is annotated')
        require_pictures(self.folder, (found.names[place].tobytes().decode()
                                       for place in np.unique(found.pictures[self._chosen])), found.path)

    def __len__(self):
        return len(self._chosen)

    def __repr__(self):
        return f'{type(self).__name__}({self.annotations.path}, {len(self)} people)'

    @property
    def joints(self):
        """The :class:`resnest.gluon.data.coco.keypoints.Joints` of the file."""
        return self.annotations.joints

    def place(self, index):
        """The place of a person's picture among those of ``annotations``."""
        return int(self.annotations.pictures[self._chosen[index]])

    def path(self, index):
        """Of a person's picture."""
        return self.folder / self.annotations.names[self.place(index)].tobytes().decode()

    def where(self, index):
        """Path of a person's picture, for messages."""
        return one_line(self.path(index), 1000)

    def box(self, index):
        """Left, top, width and height, float64 ``(4,)``."""
        return self._boxes[self._chosen[index]]

    def read(self, index):
        """``(picture, box, points)``; raises BadImage for a damaged picture, and WrongRecord for one of another size
        than the annotations tell."""
        pixels = pixels_of_size(self.path(index), self.annotations.sizes[self.place(index)], self.annotations.path,
                                self.decoding)
        return pixels, self.box(index), self.annotations.points[self._chosen[index]]

    def __exit__(self, *_):
        """Does nothing: a file is open only while it is read."""

    close = __exit__


def open_people(split, data_dir=None, annotations=None, images=None):
    """The :class:`PeopleSet` of a split of ``data_dir``, or of a file of annotations and a folder of pictures.

    Raises InputError as it does, and for what is missing.
    """
    if (data_dir is None) == (annotations is None) or (annotations is None) != (images is None):
        raise InputError('give --data-dir, or --annotations and --images')
    return PeopleSet(*(find_split(data_dir, split, 'person_keypoints') if annotations is None else
                       (annotations, images)))
