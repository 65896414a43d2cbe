"""Pictures with objects, annotated as COCO's are, read in place."""
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.gluon.data.annotated import pixels_of_size
from resnest.gluon.data.coco.annotations import read_annotations
from resnest.gluon.data.coco.instances import NO_SHAPE, RUNS
from resnest.gluon.data.coco.layout import find_panoptic, find_split, require_pictures
from resnest.gluon.data.coco.run_lengths import mask_of
from resnest.reading import one_line

from ..truth import Truth
from .categories import Categories
from .panoptic_maps import PanopticMaps

__all__ = ['CocoSet', 'open_coco']


class CocoSet(AbstractContextManager):
    """``records.read(i)`` is ``(picture uint8 (H, W, 3), Truth)``.

    Pictures are upright, unless it is as they are stored that they have the size which the annotations tell. Crowd
    regions and objects without an area are left out of the truth, as Detectron2 leaves them out, and boxes are clipped
    to the picture. The files' annotations are at hand as ``annotations`` (:class:`.Annotations`), those of
    pixels as ``panoptic`` (:class:`.panoptic_maps.PanopticMaps` or None).

    Parameters
    ----------
    annotations : path
        Of the instances, JSON.
    images : path
        The folder of the pictures.
    masks : bool
        Whether the truth has masks; objects without one are left out then.
    kinds : bool or 'where there are'
        Whether the truth has the kinds of pixels, from the panoptic annotations beside those of the instances.
    training : bool
        Leave out pictures in which there is nothing to learn: those without an object, a crowd alone among them.

    Raises InputError in one line for what :func:`resnest.gluon.data.coco.annotations.read_annotations` refuses, for a
    picture that is missing, and for annotations without any object, or without any mask where masks are asked for.
    """
    decoding = 'upright'

    def __init__(self, annotations, images, masks=False, kinds=False, training=False):
        self.folder, self.masks = Path(images).expanduser(), masks
        self.annotations = found = read_annotations(Path(annotations).expanduser(), masks)
        self.useful = ~found.crowd & (found.boxes[:, 2:] > 0).all(-1)
        if not len(found.ids):
            raise InputError(f'{found.path}: no annotations: its list of them is empty')
        if masks:
            if not (found.forms != NO_SHAPE).any():
                raise InputError(f'{found.path}: its annotations hold boxes alone, no masks; choose a detector without '
                                 f'masks, or annotate them')
            self.useful &= found.forms != NO_SHAPE
        panoptic = find_panoptic(annotations, required=kinds is True) if kinds else None
        self.panoptic = panoptic and PanopticMaps(*panoptic, found)
        self._chosen = np.arange(len(found.picture_ids))
        if training:
            self._chosen = np.unique(found.pictures[self.useful])
            if not len(self._chosen):
                raise InputError(f'{found.path}: none of its pictures has an object to learn: there are only crowds '
                                 f'and boxes without an area')
        require_pictures(self.folder, (self.name(index) for index in range(len(self))), found.path)

    def __len__(self):
        return len(self._chosen)

    def __repr__(self):
        return f'{type(self).__name__}({self.annotations.path}, {len(self)} pictures)'

    @property
    def names(self):
        """Names of the classes."""
        return [name for _, name in self.annotations.categories]

    @property
    def category_ids(self):
        """The categories' numbers in the file, by class."""
        return [number for number, _ in self.annotations.categories]

    @property
    def categories(self):
        """The :class:`.categories.Categories` of the file, and of the pixels where their kinds are read."""
        stuff = [(name, number) for number, name, thing in self.panoptic.categories if not thing] \
            if self.panoptic else []
        return Categories(self.names, self.category_ids, [name for name, _ in stuff], [number for _, number in stuff])

    @property
    def groups(self):
        """0 for each picture that is wider than it is high, 1 for others: uint8 ``(len,)``."""
        height, width = self.annotations.sizes[self._chosen].T
        return (width <= height).astype(np.uint8)

    def place(self, index):
        """The place of a picture among those of ``annotations``."""
        return int(self._chosen[index])

    def name(self, index):
        """The path of a picture below the folder."""
        return self.annotations.names[self.place(index)].tobytes().decode()

    def where(self, index):
        """Path of a picture, for messages."""
        return one_line(self.folder / self.name(index), 1000)

    def read(self, index):
        """``(picture, truth)``; raises BadImage for a damaged picture, and WrongRecord for one of another size than the
        annotations tell."""
        pixels = self.pixels(index)
        place = self.place(index)
        rows = self.annotations.of(place)
        rows = rows[self.useful[rows]]
        height, width = pixels.shape[:2]
        boxes = self.annotations.boxes[rows]
        boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], -1)
        boxes = boxes.clip(0, [width, height, width, height]).astype(np.float32)
        masks = [self._mask(row, height, width) for row in rows] if self.masks else None
        kinds = self.panoptic.kinds(place, height, width) if self.panoptic else None
        return pixels, Truth(boxes, self.annotations.classes[rows], masks, kinds).whole()

    def pixels(self, index):
        """The picture alone, uint8 ``(H, W, 3)``."""
        return pixels_of_size(self.folder / self.name(index), self.annotations.sizes[self.place(index)],
                              self.annotations.path, self.decoding)

    def _mask(self, row, height, width):
        shape = self.annotations.shape(row)
        if self.annotations.forms[row] == RUNS:
            return mask_of(shape, height, width)
        return [polygon.astype(np.float32) for polygon in shape]

    def __exit__(self, *_):
        """Does nothing: a file is open only while it is read."""

    close = __exit__


def open_coco(split, data_dir=None, annotations=None, images=None, **options):
    """The :class:`CocoSet` of a split of ``data_dir``, or of a file of annotations and a folder of pictures.

    ``options`` are those of :class:`CocoSet`. Raises InputError as it does, and for what is missing.
    """
    if (data_dir is None) == (annotations is None) or (annotations is None) != (images is None):
        raise InputError('give --data-dir, or --annotations and --images')
    return CocoSet(*(find_split(data_dir, split) if annotations is None else (annotations, images)), **options)
