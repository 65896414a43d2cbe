"""Loose images in one folder per class, with the interface of the shards."""
from contextlib import AbstractContextManager

from resnest.reading import one_line

from .class_folders import foreign_note, list_split
from .holding_out import is_sampled_from, sample_of
from .rules import rule_of_classes

__all__ = ['FolderSet']


class FolderSet(AbstractContextManager):
    """``records[i]`` is ``(encoded image: bytes, label: int)``, by the rules of :mod:`.class_folders`.

    ``classes`` are the names of the class folders, ``decoding`` is the rule by which the images are read
    (:mod:`.decoding`), ``note`` is a line worth telling, or None. ``root`` holds one folder per class, or a folder
    ``split`` that does; with ``val_fraction`` it has no ``val/``, and that share of each class is the split ``'val'``,
    by the seed and the names of the images (:mod:`.holding_out`), the rest of them ``'train'``. One folder alone is
    refused unless a ``single`` class is right, since the labels are found by its name. Raises InputError for what those
    rules refuse, and for an image that cannot be read.
    """

    def __init__(self, root, split, val_fraction=None, seed=0, single=False):
        self._told = one_line(root), split
        self.classes, self._samples = list_split(root, split, val_fraction, seed, single)
        self.decoding = rule_of_classes(self.classes)
        self.note = foreign_note(self._samples)

    def __len__(self):
        return len(self._samples)

    def __repr__(self):
        folder, split = self._told
        return (f"FolderSet('{folder}', '{split}', images={len(self)}, classes={len(self.classes)}, "
                f"decoding='{self.decoding}')")

    def __getitem__(self, index):
        return self._samples.read(index), self._samples.labels[index]

    def sample(self):
        """What :func:`.holding_out.sample_of` says of the images."""
        return sample_of(self._samples)

    def is_sampled_from(self, sample):
        """Whether the images are those of the folder that a :meth:`sample` was taken of."""
        return is_sampled_from(sample, self._samples)

    def where(self, index):
        """Path of an image, for messages."""
        return self._samples.where(index)

    def close(self):
        """Does nothing: an image is open only while it is read."""

    def __exit__(self, *_):
        self.close()
