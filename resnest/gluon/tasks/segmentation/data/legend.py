"""What the values of segmentation maps stand for: names, colours, and which of them are ignored.

``ade20k.txt``, ``cityscapes.txt`` and ``pascal_voc.txt`` have a line ``value red green blue name`` for each class, in
the order of the classes. Values, names and colours are those of gluoncv 0.10.5 (Apache-2.0, copyright its
contributors), of ADE20K's names the first synonym. Two slips of it are mended: ``bicyle``, and the sky of Cityscapes,
which is (70, 130, 180) in https://github.com/mcordts/cityscapesScripts. The names of VOC are those of its development
kit (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/).
"""
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.reading import CONTROL, one_line, read_text

__all__ = ['IGNORED', 'KNOWN', 'Legend', 'colour_map', 'known_legend', 'numbered_legend', 'read_names']

IGNORED = -1            # the label of a pixel that neither loss nor figures count
OUT_OF_RANGE = -2
VALUES = 1 << 16        # of maps with 16 bits a pixel
MOST_CLASSES = 10_000
# Of the data sets whose classes ship with the package: the values of their maps that are ignored. The ids of Cityscapes
# that are no training class are; its number plates, -1, are 255 in a map.
KNOWN = {'ade20k': (0,), 'cityscapes': (*range(34), 255), 'pascal_voc': (255,)}


class Legend:
    """The classes of a data set.

    Parameters
    ----------
    names : list of str
        In the order of the labels, which are 0 to ``len(names) - 1``.
    values : sequence of int
        Of each class, the value of its pixels in the maps; the labels themselves unless given.
    ignored : sequence of int
        Values whose pixels are ignored, unless a class has them.
    colours : array, uint8 (classes, 3)
        RGB of each class; :func:`colour_map` unless given.
    """

    def __init__(self, names, values=None, ignored=(), colours=None):
        self.names = list(names)
        self.colours = colour_map(len(self.names)) if colours is None else np.asarray(colours, dtype=np.uint8)
        values = range(len(self.names)) if values is None else values
        self._labels = np.full(VALUES, OUT_OF_RANGE, dtype=np.int16)
        self._labels[list(ignored)] = IGNORED
        self._labels[list(values)] = np.arange(len(self.names))

    def __len__(self):
        return len(self.names)

    def labels(self, values):
        """``(labels int16, of the same shape; the least value that is neither a class nor ignored, or None)``."""
        found = self._labels[values]
        if found.size and found.min() == OUT_OF_RANGE:
            return found, int(values[found == OUT_OF_RANGE].min())
        return found, None


def known_legend(name):
    """The :class:`Legend` of ``'ade20k'``, ``'cityscapes'`` or ``'pascal_voc'``."""
    lines = Path(__file__).with_name(f'{name}.txt').read_text(encoding='utf-8').splitlines()
    rows = [line.split(' ', 4) for line in lines]
    numbers = np.array([row[:4] for row in rows], dtype=int)
    return Legend([row[4] for row in rows], numbers[:, 0], KNOWN[name], numbers[:, 1:])


def numbered_legend(classes):
    """The :class:`Legend` of maps whose values are the labels: ``classes`` is the list of their names, or their number.

    Ignored is 255, or 65535 where there are more than 255 classes. Raises InputError for fewer than two classes, more
    than 10,000, and names that do not differ.
    """
    names = [str(number) for number in range(classes)] if isinstance(classes, int) else list(classes)
    if not 2 <= len(names) <= MOST_CLASSES:
        raise InputError(f'segmentation needs 2 to {MOST_CLASSES} classes, the background among them, got {len(names)}')
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f'two classes are called {one_line(twice)}; give each a name of its own')
    return Legend(names, ignored=[255 if len(names) <= 255 else 65535])


def read_names(path):
    """The names of the classes in a file, one a line in the order of the labels; raises InputError for what is none."""
    names = [line.strip() for line in read_text(path).strip().splitlines()]
    for number, name in enumerate(names, 1):
        if not name or CONTROL.search(name):
            raise InputError(f'{one_line(path)}: line {number} is no name of a class: give one name a line')
    try:
        return numbered_legend(names).names
    except InputError as error:
        raise InputError(f'{one_line(path)}: {error}') from None


def colour_map(count):
    """Colours that differ, uint8 ``(count, 3)``: Pascal VOC's, whose bits are those of the label, spread over RGB."""
    labels, colours = np.arange(count), np.zeros((count, 3), dtype=np.int64)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= (labels >> 3 * place + channel & 1) << 7 - place
    return colours.astype(np.uint8)
