"""The training and the validation records of a run, and the classes that they share."""
from contextlib import ExitStack
from pathlib import Path

from resnest.errors import InputError
from resnest.reading import one_line

from .images.class_folders import has_val
from .images.folder_set import FolderSet
from .shards.manifest import has_shards
from .shards.reader import RecordSet

__all__ = ['default_fraction', 'open_folders', 'open_pair']

FRACTION = 0.1      # of a folder without val/


def open_pair(train_source, val_source=None, classes=None, part=None):
    """``(train, val, number of classes)``: two :class:`RecordSet` and ``classes``, or those of the manifest.

    ``val_source`` is the folder of the training shards unless given. Without classes or a manifest, as beside a single
    .rec file, the labels tell. ``part`` is RecordSet's, for the training records. Whoever calls closes the two. Raises
    InputError where they have other classes, where ``classes`` is too small, and for what RecordSet refuses.
    """
    if val_source is None:
        folder = Path(train_source).expanduser()
        if not folder.is_dir() or not has_shards(folder, 'val'):
            RecordSet(train_source, 'train', part).close()      # what is wrong with it comes first
            raise InputError(f'{one_line(train_source)}: no validation shards; give --rec-val, or prepare the data '
                             f'with --val-fraction 0.1')
        val_source = train_source
    with ExitStack() as stack:
        train = stack.enter_context(RecordSet(train_source, 'train', part))
        val = stack.enter_context(RecordSet(val_source, 'val'))
        if train.classes and val.classes and train.classes != val.classes:
            raise InputError(f'{val_source}: its classes are not those of {train_source}')
        classes = _count(train, val, classes)
        stack.pop_all()     # both stay open
    return train, val, classes


def open_folders(root, classes=None, val_fraction=None, seed=0):
    """The same of the class folders in ``root``: two :class:`FolderSet`, of ``train/`` and ``val/`` or, with
    ``val_fraction``, of what is held out of the one and the rest."""
    train, val = (FolderSet(root, split, val_fraction, seed) for split in ('train', 'val'))
    return train, val, _count(train, val, classes)


def default_fraction(root):
    """The share of the images that is held out for validation where nobody says: None where ``root`` has ``val/``."""
    return None if has_val(Path(root).expanduser()) else FRACTION


def _count(train, val, classes):
    known = max(len(records.classes or ()) for records in (train, val))
    if classes and classes < known:
        raise InputError(f'--num-classes {classes}, but the data have {known} classes')
    return classes or (len(train.classes) if train.classes else max(train.count_classes(), val.count_classes()))
