"""Loose images in one folder per class, with the interface of the shards."""
from contextlib import AbstractContextManager

from .class_folders import list_split
from .rules import rule_of_classes

__all__ = ['FolderSet']


class FolderSet(AbstractContextManager):
    """``records[i]`` is ``(encoded image: bytes, label: int)``, by the rules of :mod:`.class_folders`.

    ``classes`` are the names of the class folders, ``decoding`` is the rule by which the images are read
    (:mod:`.decoding`). ``root`` holds one folder per class, or a folder ``split`` that does. Raises InputError for
    what those rules refuse, and for an image that cannot be read.
    """

    def __init__(self, root, split):
        self.classes, self._samples = list_split(root, split)
        self.decoding = rule_of_classes(self.classes)

    def __len__(self):
        return len(self._samples)

    def __getitem__(self, index):
        return self._samples.read(index), self._samples.labels[index]

    def where(self, index):
        """Path of an image, for messages."""
        return self._samples.where(index)

    def close(self):
        """Does nothing: an image is open only while it is read."""

    def __exit__(self, *_):
        self.close()
