"""Reads COCO's annotations (https://cocodataset.org/#format-data)."""
import logging
from array import array

import numpy as np

from resnest.errors import InputError
from resnest.reading import one_line

from .instances import NO_SHAPE, POLYGONS, RUNS, Annotations
from .long_json import read_lists
from .packed import Packed
from .run_lengths import counts_of

__all__ = ['Reader', 'read_annotations', 'read_with']

LOG = logging.getLogger(__name__)
LARGEST_SIDE = 1 << 16      # pixels of a picture
BEYOND = 2                  # pixels by which a box may stick out of its picture: somebody's rounding


def read_annotations(path, with_shapes=True):
    """The :class:`Annotations` of a JSON file; without ``with_shapes`` masks and polygons are passed over.

    Polygons of fewer than three points, or of an odd number of values, are left out, and the log says how many. Raises
    InputError in one line, that names the file and the annotation, for broken JSON, for ids that stand there twice or
    are of nothing, for a box with a negative width or one that lies outside of its picture, and for run lengths of
    another size than it.
    """
    return read_with(path, Reader, with_shapes)


def read_with(path, kind, with_shapes=False):
    """What a :class:`Reader`, or a ``kind`` of it that reads more, makes of a JSON file."""
    reader = kind(one_line(path), with_shapes)
    found = read_lists(path, {'images': reader.image, 'annotations': reader.annotation,
                              'categories': reader.category})
    for name in ('images', 'categories', 'annotations'):
        if name not in found:
            raise InputError(f"{reader.path}: no list '{name}', so that these are no annotations in COCO's format; "
                             f'give a file such as instances_train2017.json')
    return reader.result()


class Reader:
    """Takes the items of a file's lists one by one, and makes :class:`Annotations` of them in the end."""

    def __init__(self, path, with_shapes):
        self.path, self.with_shapes = path, with_shapes
        self.picture_ids, self.sizes, self.names = array('q'), array('q'), Packed('B')
        self.categories = {}
        self.ids, self.of, self.kinds = array('q'), array('q'), array('q')
        self.boxes, self.areas, self.crowd, self.forms = array('d'), array('d'), array('b'), array('b')
        self.parts, self.part_ends = Packed('d'), array('q')
        self.runs, self.run_sizes = array('q'), array('q')      # instances with run lengths, and these' sizes
        self.left_out = 0       # polygons

    def image(self, item):
        where = f'image {self._id(item, "image")}'
        sides = [item.get(name) for name in ('height', 'width')]
        if not all(type(side) is int and 0 < side <= LARGEST_SIDE for side in sides):
            raise InputError(f'{self.path}: {where}: height and width must be pixels, got {one_line(sides, 60)}')
        name = item.get('file_name')
        try:
            if not name or '\0' in name:
                raise ValueError
            self.names.append(name.encode())
        except (TypeError, ValueError, AttributeError):
            raise InputError(f'{self.path}: {where}: file_name must be the name of its picture, got '
                             f'{one_line(name, 60)}') from None
        self.picture_ids.append(item['id'])
        self.sizes.extend(sides)

    def category(self, item):
        number = self._id(item, 'category')
        name = item.get('name')
        if number in self.categories or not isinstance(name, str):
            raise InputError(f'{self.path}: category {number} ' + (
                'stands there twice; remove one of them' if number in self.categories else 'has no name'))
        self.categories[number] = one_line(name)

    def annotation(self, item):
        number = self._id(item, 'annotation')
        where = f'{self.path}: annotation {number}'
        for values, key in ((self.of, 'image_id'), (self.kinds, 'category_id')):
            if not _is_id(item.get(key)):
                raise InputError(f'{where}: {key} must be a whole number, got {one_line(item.get(key), 60)}')
            values.append(item[key])
        box = item.get('bbox')
        if not isinstance(box, list) or len(box) != 4 or not all(type(value) in (int, float) for value in box):
            raise InputError(f'{where}: bbox must be four numbers, left, top, width, height, got {one_line(box, 60)}')
        area, crowd = item.get('area'), item.get('iscrowd')
        if area is not None and (type(area) not in (int, float) or area < 0):
            raise InputError(f'{where}: area must be a number of at least 0, got {one_line(repr(area), 60)}')
        if crowd not in (None, 0, 1):
            raise InputError(f'{where}: iscrowd must be 0 or 1, got {one_line(repr(crowd), 60)}')
        try:
            self.boxes.extend(box)
            self.areas.append(box[2] * box[3] if area is None else area)
        except OverflowError:
            raise InputError(f'{where}: a number that is too large') from None
        self.ids.append(number)
        self.crowd.append(bool(crowd))
        self.forms.append(self._shape(item.get('segmentation'), where) if self.with_shapes else NO_SHAPE)
        self.part_ends.append(len(self.parts))

    def _shape(self, value, where):
        try:
            if isinstance(value, list):
                polygons = [polygon for polygon in value if len(polygon) % 2 == 0 and len(polygon) >= 6]
                self.left_out += len(value) - len(polygons)
                for polygon in polygons:
                    self.parts.append(polygon)
                return POLYGONS if polygons else NO_SHAPE
            if isinstance(value, dict):
                size, counts = value.get('size'), counts_of(value.get('counts'))
                if not isinstance(size, list) or len(size) != 2 or not all(
                        type(side) is int and 0 < side <= LARGEST_SIDE for side in size):
                    raise InputError(f'the size of its run lengths must be height and width, got {one_line(size, 60)}')
                if not counts.size or counts.sum() != size[0] * size[1]:
                    raise InputError(f'run lengths of {counts.sum()} pixels for a size of {size[0]} x {size[1]}')
                self.parts.append(counts)
                self.runs.append(len(self.forms))
                self.run_sizes.extend(size)
                return RUNS
            if value is not None:
                raise InputError(f'must be polygons or run lengths, got {one_line(repr(value), 60)}')
        except (TypeError, ValueError, OverflowError) as error:
            reason = str(error) if isinstance(error, InputError) else 'polygons must be lists of numbers x, y, x, y, …'
            raise InputError(f'{where}: segmentation: {reason}') from None
        return NO_SHAPE

    def _id(self, item, what):
        number = item.get('id') if isinstance(item, dict) else None
        if not _is_id(number):
            raise InputError(f"{self.path}: each {what} must be an object with a whole number 'id', got "
                             f'{one_line(item, 80)}')
        return number

    def result(self):
        picture_ids, sizes = np.array(self.picture_ids), np.array(self.sizes).reshape(-1, 2)
        if not len(picture_ids):
            raise InputError(f'{self.path}: an empty data set: it lists no images')
        if not self.categories:
            raise InputError(f'{self.path}: it lists no categories')
        for what, numbers in (('image', picture_ids), ('annotation', ids := np.array(self.ids, np.int64))):
            if (twice := np.sort(numbers)[1:][np.diff(np.sort(numbers)) == 0]).size:
                raise InputError(f'{self.path}: {what} {twice[0]} stands there twice; remove one of them')
        by_id = np.argsort(picture_ids, kind='stable')
        names = Packed('B')
        for place in by_id:
            names.append(self.names[place])
        picture_ids, sizes = picture_ids[by_id], sizes[by_id]
        known = np.array(sorted(self.categories))
        pictures = self._places(np.array(self.of, np.int64), picture_ids, 'image')
        classes = self._places(np.array(self.kinds, np.int64), known, 'category')
        boxes = np.array(self.boxes).reshape(-1, 4)
        self._check(boxes, sizes[pictures])
        runs = np.array(self.runs, np.int64)
        wrong = (np.array(self.run_sizes, np.int64).reshape(-1, 2) != sizes[pictures[runs]]).any(-1)
        if wrong.any():
            place = runs[np.argmax(wrong)]
            raise InputError(f'{self.path}: annotation {self.ids[place]}: run lengths of another size than its '
                             f'picture, which has {" x ".join(map(str, sizes[pictures[place]]))}')
        self._check_polygons(np.array(self.forms), sizes[pictures])
        if self.left_out:
            LOG.warning('%s: left out %d polygons of fewer than three points or of an odd number of values', self.path,
                        self.left_out)
        return Annotations(self.path, picture_ids, sizes, names,
                           [(int(number), self.categories[number]) for number in known], ids,
                           pictures, boxes, classes.astype(np.int32), np.array(self.crowd, bool), np.array(self.areas),
                           np.array(self.forms, np.int8), np.array(self.part_ends, np.int64), self.parts)

    def _places(self, numbers, known, what):
        """Where ``numbers`` stand among those that are ``known``, in rising order."""
        places = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
        unknown = known[places] != numbers
        if unknown.any():
            first = np.argmax(unknown)
            listed = 'categories' if what == 'category' else 'images'
            raise InputError(f'{self.path}: annotation {self.ids[first]}: its {what}, {numbers[first]}, is not listed '
                             f'in {listed}; add it there, or remove the annotation')
        return places

    def _check(self, boxes, sizes):
        finite = np.isfinite(boxes).all(-1) & np.isfinite(np.array(self.areas))
        ends = boxes[:, :2] + boxes[:, 2:]
        inside = (boxes[:, :2] >= -BEYOND).all(-1) & (ends <= sizes[:, ::-1] + BEYOND).all(-1)
        for good, problem in ((finite, 'is not finite, nor may its area be'),
                              ((boxes[:, 2:] >= 0).all(-1), 'has a negative width or height'),
                              (inside, 'lies outside of its picture, at least in part')):
            if not good.all():
                place = int(np.argmin(good))
                height, width = sizes[place]
                raise InputError(f'{self.path}: annotation {self.ids[place]}: its box {boxes[place].tolist()} (left, '
                                 f'top, width, height) {problem}; the picture has {width} x {height} pixels; mend it')

    def _check_polygons(self, forms, sizes):
        """Refuse what native code would draw for ever: points far away from their picture."""
        if not len(self.parts):
            return
        low, high = self.parts.extremes()
        owners = np.repeat(np.arange(len(forms)), np.diff(np.array(self.part_ends), prepend=0))
        longest = sizes[owners].max(-1)
        far = (forms[owners] == POLYGONS) & ~((low >= -longest) & (high <= 2 * longest))
        if far.any():
            raise InputError(f'{self.path}: annotation {self.ids[owners[np.argmax(far)]]}: segmentation: a polygon far '
                             f'outside of its picture; mend it')


def _is_id(value):
    return type(value) is int and abs(value) < 1 << 63
