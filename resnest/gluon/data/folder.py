"""Loose images in one folder a class, with the interface of the shards."""
import os
from pathlib import Path

from resnest.errors import InputError

__all__ = ['FolderSet', 'IMAGE_SUFFIXES']

IMAGE_SUFFIXES = ('.jpeg', '.jpg', '.png', '.bmp', '.webp', '.tif', '.tiff', '.gif')


class FolderSet:
    """``records[i]`` is ``(encoded image: bytes, label: int)``; labels are the sorted names of the class folders.

    ``root`` holds a folder a class, or a folder ``split`` that does. Raises InputError where there are no images, and
    for a flat folder, whose images would all get one label.
    """

    def __init__(self, root, split):
        root = Path(root).expanduser()
        if not root.is_dir():
            raise InputError(f'{root}: no such folder')
        if (root / split).is_dir():
            root /= split
        self.classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
        if not self.classes:
            raise InputError(f'{root}: has no class folders; a flat folder tells no labels: put the images into one '
                             f'folder a class, or make shards with prepare_imagenet.py')
        self.root = root
        self._paths, self._labels = [], []
        for label, name in enumerate(self.classes):
            found = sorted(entry.name for entry in os.scandir(root / name)
                           if entry.name.lower().endswith(IMAGE_SUFFIXES))
            self._paths += [f'{name}/{file}' for file in found]
            self._labels += [label] * len(found)
        if not self._paths:
            raise InputError(f'{root}: no images ({", ".join(IMAGE_SUFFIXES)}) in its class folders')

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        return (self.root / self._paths[index]).read_bytes(), self._labels[index]

    def where(self, index):
        """Path of an image, for messages."""
        return str(self.root / self._paths[index])
