"""COCO's panoptic annotations (https://cocodataset.org/#format-data, 4): a PNG with the number of its segment in each
pixel, ``red + 256 green + 65536 blue``, 0 for none, and in JSON what the segments are."""
from array import array
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.gluon.data import WrongRecord, picture_bytes
from resnest.gluon.data.coco.long_json import read_lists
from resnest.gluon.data.images.decoding import opened
from resnest.reading import one_line

from ..truth import IGNORED

__all__ = ['PanopticMaps', 'described_segment']

SEGMENTS = 1 << 24
MOST_KINDS = 255


class PanopticMaps:
    """The segments of the pictures of :class:`.annotations.Annotations`.

    ``categories`` are ``(id, name, is a thing)`` by id; a kind is 0 for any thing, then one after the other the stuff
    by its id. Raises InputError that names the file for broken JSON, for a picture without segments, and for
    segments of a category that is not listed.
    """

    def __init__(self, path, folder, annotations):
        self.path, self.folder = one_line(path), Path(folder)
        self._categories, self._files = {}, {}
        self._ids, self._of, self._crowd, self._ends = array('q'), array('q'), array('b'), array('q')
        found = read_lists(path, {'annotations': self._annotation, 'categories': self._category})
        if found != {'annotations', 'categories'} or not self._categories:
            raise InputError(f"{self.path}: no lists 'annotations' and 'categories', so that these are no panoptic "
                             f'annotations')
        self.categories = [(number, *self._categories[number]) for number in sorted(self._categories)]
        stuff = [number for number, _, thing in self.categories if not thing]
        if len(stuff) >= MOST_KINDS:
            raise InputError(f'{self.path}: {len(stuff)} kinds of stuff; at most {MOST_KINDS - 1} are possible')
        self.kind_names = ['things', *(name for _, name, thing in self.categories if not thing)]
        self.kind_of = {number: 0 for number, *_ in self.categories} | {
            number: kind for kind, number in enumerate(stuff, 1)}
        for category in self._of:
            if category not in self.kind_of:
                raise InputError(f'{self.path}: a segment of category {category}, which is not listed in categories')
        self._picture_ids = annotations.picture_ids
        missing = next((number for number in self._picture_ids if int(number) not in self._files), None)
        if missing is not None:
            raise InputError(f'{self.path}: nothing about image {missing}, which the instances have; give both of the '
                             f'same pictures')

    def _category(self, item):
        number = item.get('id') if isinstance(item, dict) else None
        if type(number) is not int or number in self._categories:
            raise InputError(f"{self.path}: a category needs a whole number of its own as 'id', got "
                             f'{one_line(item, 80)}')
        self._categories[number] = one_line(item.get('name', number)), bool(item.get('isthing', 1))

    def _annotation(self, item):
        try:
            if item['image_id'] in self._files:
                raise InputError(f"{self.path}: two annotations of image {one_line(item['image_id'], 60)}")
            if not isinstance(item['file_name'], str) or '\0' in item['file_name']:
                raise TypeError
            self._files[item['image_id']] = item['file_name'], len(self._ends)
            for segment in item['segments_info']:
                if not 0 < segment['id'] < SEGMENTS:
                    raise TypeError
                for values, value in ((self._ids, segment['id']), (self._of, segment['category_id']),
                                      (self._crowd, bool(segment.get('iscrowd')))):
                    values.append(value)
        except (KeyError, TypeError, OverflowError, AttributeError):
            raise InputError(f'{self.path}: an annotation needs image_id, file_name, and segments_info with id and '
                             f'category_id, got {one_line(item, 80)}') from None
        self._ends.append(len(self._ids))

    def segments(self, place):
        """The segments of a picture: ids ``(S,)``, categories' ids ``(S,)``, and whether each is a crowd."""
        row = self._files[int(self._picture_ids[place])][1]
        part = slice(self._ends[row - 1] if row else 0, self._ends[row])
        return tuple(np.array(values[part], kind) for values, kind in ((self._ids, np.int64), (self._of, np.int64),
                                                                       (self._crowd, bool)))

    def ids(self, place, height, width):
        """The number of each pixel's segment, int64 ``(height, width)``; raises WrongRecord where the PNG has another
        size, and BadImage where it cannot be read."""
        path = self.folder / self._files[int(self._picture_ids[place])][0]
        with opened(picture_bytes(path), one_line(path, 1000), 'stored') as picture:
            colours = np.asarray(picture.whole()).astype(np.int64)
        if colours.shape[:2] != (height, width):
            raise WrongRecord(f'{one_line(path, 1000)}: {colours.shape[1]} x {colours.shape[0]} pixels, but its '
                              f'picture has {width} x {height}')
        return colours @ np.array([1, 256, 65536])

    def kinds(self, place, height, width):
        """The kind of each pixel, uint8 ``(height, width)``: 255 where there is no segment that is told of."""
        numbers, inverse = np.unique(self.ids(place, height, width), return_inverse=True)
        ids, categories, _ = self.segments(place)
        known = dict(zip(ids.tolist(), categories.tolist()))
        kinds = [self.kind_of[known[number]] if number in known else IGNORED for number in numbers.tolist()]
        return np.array(kinds, np.uint8)[inverse].reshape(height, width)


def described_segment(ids, facts, categories):
    """What COCO's files tell of a segment, and its score: of the map ``(H, W)`` and one of the segments that
    :func:`.panoptic.merge` returns, with the numbers of :class:`.categories.Categories`."""
    numbers, place = (categories.ids, facts['category']) if facts['is_thing'] else \
        (categories.stuff_ids, facts['category'] - 1)
    here = ids == facts['id']
    rows, columns = np.flatnonzero(here.any(1)), np.flatnonzero(here.any(0))
    box = [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]
    score = {'score': facts['score']} if facts['is_thing'] else {}
    return {'id': facts['id'], 'category_id': numbers[place], 'isthing': int(facts['is_thing']), 'area': facts['area'],
            'bbox': [int(each) for each in box], 'iscrowd': 0, **score}
