"""Images with segmentation maps, read in place."""
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.gluon.data.images.class_folders import foreign_note
from resnest.gluon.data.images.decoding import BadImage
from resnest.gluon.data.images.holding_out import held_out, is_sampled_from, sample_of
from resnest.gluon.data.images.samples import Samples
from resnest.reading import one_line

from .label_images import read_values
from .layouts import find_layout, list_pairs, two_folders
from .legend import known_legend, numbered_legend, read_names

__all__ = ['MapSet', 'default_fraction', 'is_known', 'open_maps']

FRACTION = 0.1      # of a data set without a validation split
NAMES = 'classes.txt'
ALWAYS_IGNORED = (255, 65535)        # by a numbered legend, whatever the number of its classes is found to be


class MapSet(AbstractContextManager):
    """``records[i]`` is ``(encoded image: bytes, encoded map: bytes)``.

    ``legend`` (:class:`.Legend`) says what the values of the maps stand for, ``decoding`` is the rule of
    :mod:`resnest.gluon.data.images.rules` by which images and maps are turned, ``note`` is a line worth telling, or
    None. Sets of one's own are read ``'upright'``, published ones as they are ``'stored'``. Their paths take 100 to
    150 bytes per record. Raises InputError for a file that cannot be read.
    """

    def __init__(self, images, maps, decoding, legend=None):
        self._images, self._maps = images, maps
        self.decoding, self.legend = decoding, legend
        self.note = foreign_note(images)

    def __len__(self):
        return len(self._images)

    def __getitem__(self, index):
        return self._images.read(index), self._maps.read(index)

    def where(self, index):
        """Path of an image, for messages."""
        return self._images.where(index)

    def where_map(self, index):
        """Path of a map, for messages."""
        return self._maps.where(index)

    def sample(self):
        """What :func:`resnest.gluon.data.images.holding_out.sample_of` says of the images."""
        return sample_of(self._images)

    def is_sampled_from(self, sample):
        """Whether the images are those of the folder that a :meth:`sample` was taken of."""
        return is_sampled_from(sample, self._images)

    def find_labels(self):
        """``{label: path of the first map that has it}``: every map is read for it."""
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(self._labels, range(len(self))))
        return {label: self.where_map(index) for index in reversed(range(len(self))) for label in found[index]}

    def _labels(self, index):
        values, _ = read_values(self._maps.read(index), self.where_map(index), self.decoding)
        return [label for label in np.flatnonzero(np.bincount(values.ravel())).tolist() if label not in ALWAYS_IGNORED]

    def __exit__(self, *_):
        """Does nothing: a file is open only while it is read."""

    close = __exit__


def open_maps(root=None, images=None, maps=None, names=None, val_fraction=None, seed=0, splits=('train', 'val')):
    """A :class:`MapSet` for each of ``splits``, with one legend, read in place.

    Parameters
    ----------
    root : path
        A data set in one of the :data:`.LAYOUTS`, which is told by the folders in it.
    images, maps : path
        In the place of ``root``, a folder of images and one of maps of the same names, each with ``train/`` and
        ``val/`` in it or neither.
    names : path or list of str
        A file with the names of the classes, one a line, or the names; without them, those of ``classes.txt`` in the
        folder, and otherwise numbers: all maps are read once to count them. Published layouts have names of their own.
    val_fraction : float
        The share of the training images that is the split ``'val'``, by the seed and their names, where there is none;
        the rest is ``'train'``. Without it, images that are not split are both of them.
    seed : int

    Raises InputError in one line that names what is missing, or which layouts there are.
    """
    if (root is None) == (images is None) or (images is None) != (maps is None):
        raise InputError('give --data-dir, or --images and --maps')
    layout, folder = find_layout(root) if images is None else two_folders(images, maps)
    if val_fraction is not None and layout.has_val(folder):
        raise InputError(f'{one_line(folder if root else images)}: has a validation split already; leave out '
                         f'--val-fraction')
    found = {split: _open(layout, folder, split, val_fraction, seed) for split in splits}
    beside = folder if images is None else Path(os.path.expanduser(maps))
    legend = _legend(layout, beside, names, found.values())
    for records in found.values():
        records.legend = legend
    return tuple(found.values())


def default_fraction(root=None, images=None, maps=None):
    """The share of the images that is held out for validation where nobody says: None where they are split."""
    layout, folder = find_layout(root) if images is None else two_folders(images, maps)
    return None if layout.has_val(folder) else FRACTION


def is_known(sample, root=None, images=None, maps=None):
    """Whether the images are not split and those that a :meth:`MapSet.sample` was taken of; no map is read."""
    layout, folder = find_layout(root) if images is None else two_folders(images, maps)
    return not layout.has_val(folder) and _open(layout, folder, 'train', None, 0).is_sampled_from(sample)


def _open(layout, root, split, val_fraction, seed):
    listed, foreign = split if val_fraction is None else 'train', []
    folders = layout.folders(root, listed)
    pairs = [Samples(folder) for folder in folders]
    for paths in list_pairs(layout, root, listed, foreign):
        for samples, path in zip(pairs, paths):
            samples.add_file(path, 0)
    pairs[0].foreign = foreign
    if val_fraction is not None:
        chosen = held_out(pairs[0], [''], val_fraction, seed)[split]
        pairs = [samples.subset(chosen) for samples in pairs]
    return MapSet(*pairs, 'stored' if layout.legend else 'upright')


def _legend(layout, root, names, sets):
    if layout.legend:
        if names is not None:
            raise InputError(f'{one_line(root)}: the classes of {layout.name} have names; leave out --classes')
        return known_legend(layout.legend)
    if names is None and (root / NAMES).is_file():
        names = root / NAMES
    if names is not None:
        return numbered_legend(names if isinstance(names, (list, tuple)) else read_names(names))
    try:
        labels = {label: path for records in sets for label, path in records.find_labels().items()}
    except BadImage as error:
        raise InputError(f'{error}; all maps are read to count the classes: mend it, or give --classes a file with '
                         f'their names') from None
    count = 1 + max(labels, default=0)
    if count < 2:
        raise InputError(f'{one_line(root)}: its maps hold no label but 0 (255 is ignored), and so a single class; '
                         f'save the second one as 1')
    if 2 * len(labels) < count:     # a stray value makes hundreds of classes that nothing has
        raise InputError(f'{one_line(labels[count - 1], 1000)}: label {count - 1}, though all maps hold only '
                         f'{len(labels)} labels of the {count} up to it; number them from 0 without gaps, save what '
                         f'does not count as 255, or give --classes a file with all names')
    return numbered_legend(count)
