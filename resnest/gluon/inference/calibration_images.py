"""The images by which int8 learns its ranges and a report tells what a precision changes: training images.

Never those that accuracy is then told of.
"""
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.gluon.data import FolderSet, Loader, RecordSet, find_pictures, has_shards, picture_bytes, shard_folder
from resnest.gluon.data.images.rules import rule_of_classes

__all__ = ['calibration_batches', 'calibration_records']


def calibration_records(source=None, rec_dir=None, data_dir=None, needed=True, val_fraction=None, seed=0):
    """The images to calibrate with, and their description.

    Parameters
    ----------
    source : str
        A folder of images, at any depth, or shards; the training images beside the verified ones unless given.
    rec_dir, data_dir : str
        What is verified.
    val_fraction, seed
        As :class:`.FolderSet` has them, where the part of ``data_dir`` that it holds out is verified.
    needed : bool
        Whether to raise InputError where there are none, instead of returning ``(None, None)``.
    """
    if source:
        folder = Path(source).expanduser()
        shards = not folder.is_dir() or any(shard_folder(folder).glob('*.rec'))
        return RecordSet(source, 'train') if shards else Pictures(folder), str(source)
    if rec_dir and Path(rec_dir).expanduser().is_dir() and has_shards(Path(rec_dir).expanduser(), 'train'):
        return RecordSet(rec_dir, 'train'), f'the training shards in {rec_dir}'
    if data_dir and (val_fraction or Path(data_dir, 'train').expanduser().is_dir()):
        return FolderSet(data_dir, 'train', val_fraction, seed, single=True), f'the training images in {data_dir}'
    if not needed:
        return None, None
    raise InputError(f'{rec_dir or data_dir or "int8"}: no training images to calibrate int8 with; give '
                     f'--calibration a folder of images, or shards')


def calibration_batches(records, transform, count=128, batch_size=32, workers=2):
    """``count`` images, evenly taken from all, as batches ``(uint8 (n, size, size, 3), labels)``.

    Raises InputError for a count below 1.
    """
    if count < 1:
        raise InputError(f'the number of calibration images must be at least 1, got {count}')
    count = min(count, len(records))
    picked = np.arange(count) * len(records) // count
    batches = [picked[start:start + batch_size] for start in range(0, count, batch_size)]
    return Loader(records, transform, batches, classes=2 ** 31, workers=workers)


class Pictures:
    """The images of a folder, at any depth, with the interface of the shards; nobody asks for their labels."""

    def __init__(self, folder):
        self._paths = find_pictures([folder])
        self.decoding = rule_of_classes(sorted(path.name for path in folder.iterdir() if path.is_dir()))

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        return picture_bytes(self._paths[index]), 0

    def where(self, index):
        """Path of an image, for messages."""
        return str(self._paths[index])
