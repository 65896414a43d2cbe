"""Where the images of a data set lie: in a tar by offset, or in a folder by name; about 60 bytes per image."""
import hashlib
import os
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np

from resnest.errors import InputError
from resnest.reading import CONTROL, one_line, open_plain

__all__ = ['Samples', 'Source', 'refuse_class_name']

LARGEST_IMAGE = (1 << 29) - 25      # bytes; what fits a record of a shard
LONGEST_CLASS = 200                 # bytes


def refuse_class_name(name, where):
    """Raise InputError, that names ``where``, for a class name that cannot be shown or that no folder may have."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= LONGEST_CLASS or CONTROL.search(name) or name.startswith('.') or '/' in name:
        raise InputError(f'{where}: {one_line(repr(name), 80)} is no class name: give it one in UTF-8, of at most '
                         f'{LONGEST_CLASS} bytes, that neither starts with a dot nor holds control characters')


class Samples:
    """The images of one split in source order, held in flat arrays: a million take about 60 MB.

    Parameters
    ----------
    path : Path
        An uncompressed tar, or a folder.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.packed = not self.path.is_dir()
        self.offsets, self.sizes, self.labels = array('q'), array('q'), array('i')      # offsets and sizes in bytes
        self._names, self._ends = bytearray(), array('q')
        self._descriptor = None
        self.foreign = []                   # paths of pictures of formats that are not decoded here
        self.modified = 0                   # time (ns) of the last change of the files that were added

    def add(self, name, size, label, offset=0):
        """Note one image: its name inside ``path``, its place there in bytes, its label."""
        if size > LARGEST_IMAGE:
            raise InputError(f'{self.path}: {one_line(name)}: {size} bytes are too many for an image (at most '
                             f'{LARGEST_IMAGE}); remove it')
        self._names += os.fsencode(name)
        self._ends.append(len(self._names))
        self.sizes.append(size)
        self.labels.append(label)
        self.offsets.append(offset)

    def add_file(self, path, label):
        """Note one image that is a file below ``path`` of this set."""
        status = path.stat()
        self.modified = max(self.modified, status.st_mtime_ns)
        self.add(path.relative_to(self.path).as_posix(), status.st_size, label)

    def subset(self, indices):
        """Some of the images, in the order of ``indices``."""
        part = Samples(self.path)
        for index in indices:
            part.add(self.name(index), self.sizes[index], self.labels[index], self.offsets[index])
        part.modified, part.foreign = self.modified, self.foreign
        return part

    def __len__(self):
        return len(self.sizes)

    def name(self, index):
        return os.fsdecode(bytes(self._names[self._ends[index - 1] if index else 0:self._ends[index]]))

    def where(self, index):
        """File and member, for messages."""
        name = self.name(index)
        return f'{self.path}: {one_line(name)}' if self.packed else one_line(self.path / name, 1000)

    def read(self, index):
        """The encoded image; raises InputError where the file has changed since it was indexed."""
        size = self.sizes[index]
        try:
            if not self.packed:
                with open_plain(self.path / self.name(index)) as opened:
                    data = opened.read(size + 1) or b''     # None: a file of /proc that would have us wait
            else:
                if self._descriptor is None:
                    self._descriptor = os.open(self.path, os.O_RDONLY)
                data = os.pread(self._descriptor, size, self.offsets[index])
        except OSError as error:
            raise InputError(f'{self.where(index)}: cannot be read: {error.strerror}') from None
        if len(data) != size:
            raise InputError(f'{self.where(index)}: not the {size} bytes that it had when it was indexed; '
                             f'the source must not change while it is being read: run again')
        return data

    def bytes(self, indices=...):
        """Total size of some images in bytes."""
        return int(np.frombuffer(self.sizes, np.int64)[indices].sum())

    def digest(self):
        """sha256 of names, places and labels: equal for equal sources, wherever they lie."""
        found = hashlib.sha256()
        for values in (self._names, self._ends, self.offsets, self.sizes, self.labels):
            found.update(values)
        return found.hexdigest()


@dataclass
class Source:
    """What is to be prepared: ``splits`` maps ``'train'`` and ``'val'`` to :class:`Samples`, ``classes`` are the
    names in the order of the labels, ``words`` the readable ones (or empty), ``modified`` the time (ns) of the last
    change of the files, ``decoding`` the rule of :mod:`.rules`, ``val_fraction`` the share of the images that was held
    out for validation (or None), ``notes`` lines that are worth telling."""
    kind: str
    classes: list
    splits: dict
    words: list = field(default_factory=list)
    modified: int = 0
    decoding: str = 'stored'
    val_fraction: Optional[float] = None
    notes: list = field(default_factory=list)
