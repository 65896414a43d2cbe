"""What detectors find: the names of classes and of stuff, and the numbers by which a data set's files know them.

COCO's: https://cocodataset.org, 80 of 90 numbers for things; the stuff is that of panoptic segmentation (Kirillov et
al., 2019, https://arxiv.org/abs/1801.00868), merged to 53.
"""
import functools
from dataclasses import dataclass, field
from pathlib import Path

from resnest.errors import InputError
from resnest.reading import one_line, read_text

from ..table import DETECTION

__all__ = ['Categories', 'categories_of', 'coco', 'known_categories', 'numbered']

LARGEST_ID = (1 << 24) - 1      # of a segment in a PNG of three bytes


@dataclass(frozen=True)
class Categories:
    """The classes in the order of the network's, by ``names`` and by the ``ids`` of their data set; and the kinds of
    pixels from 1 on, ``stuff`` and ``stuff_ids``. Raises InputError for values that no categories have."""
    names: list
    ids: list
    stuff: list = field(default_factory=list)
    stuff_ids: list = field(default_factory=list)

    def __post_init__(self):
        for key, ids in (('names', 'ids'), ('stuff', 'stuff_ids')):
            texts, numbers = getattr(self, key), getattr(self, ids)
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise InputError(f'{key} must be a list of texts')
            if not isinstance(numbers, list) or len(numbers) != len(texts) or \
                    not all(type(number) is int and 0 <= number <= LARGEST_ID for number in numbers):
                raise InputError(f'{ids} must be whole numbers up to {LARGEST_ID}, one for each of the {len(texts)} in '
                                 f'{key}')
        both = self.ids + self.stuff_ids
        if len(set(both)) < len(both):
            raise InputError('ids and stuff_ids: a number stands there twice')


def categories_of(net):
    """The :class:`Categories` of a detector: as its weights describe them, COCO's where it has as many as the
    published ones, or numbers."""
    return known_categories(net.spec, getattr(net, 'description', None))


def known_categories(spec, description=None):
    """As :func:`categories_of`, of a row and of a description of weights; raises InputError for one that cannot be."""
    known, stuff = coco(), max(0, spec.kinds - 1)
    if description is not None and description.names:
        own, plain = description.own, numbered(spec.classes, stuff)
        if unknown := sorted(own.keys() - {'category_ids', 'stuff', 'stuff_ids'}):
            raise InputError(f"'{one_line(unknown[0], 60)}' is in no description of a detector")
        found = Categories(description.names, own.get('category_ids', plain.ids), own.get('stuff', plain.stuff),
                           own.get('stuff_ids', plain.stuff_ids))
        if len(found.stuff) != stuff:
            raise InputError(f'stuff: {len(found.stuff)} names for {stuff} kinds')
        return found
    row = DETECTION.get(spec.name, spec)
    if (spec.classes, spec.kinds) != (row.classes, row.kinds) or spec.classes != len(known.names):
        return numbered(spec.classes, stuff)
    return known if stuff else Categories(known.names, known.ids)


def numbered(classes, stuff=0):
    """Categories that are known by their numbers alone."""
    return Categories([str(number) for number in range(classes)], list(range(1, classes + 1)),
                      [f'stuff {number}' for number in range(1, stuff + 1)],
                      list(range(classes + 1, classes + stuff + 1)))


@functools.lru_cache(maxsize=1)
def coco():
    """COCO's 80 things and 53 kinds of stuff."""
    return Categories(*_listed('coco_things.txt'), *_listed('coco_stuff.txt'))


def _listed(file):
    """The names and the numbers in a file with a number and a name on each line."""
    lines = [line.split(' ', 1) for line in read_text(Path(__file__).with_name(file)).splitlines()]
    return [name for _, name in lines], [int(number) for number, _ in lines]
