"""The training and the validation records of a run, and the classes that they share."""
from contextlib import ExitStack

from resnest.errors import InputError

from .shards.reader import RecordSet

__all__ = ['open_pair']


def open_pair(train_source, val_source, classes=None, part=None):
    """``(train, val, number of classes)``: two :class:`RecordSet` and ``classes``, or those of the manifest.

    Without either, as beside a single .rec file, the labels tell. ``part`` is RecordSet's, for the training records.
    Whoever calls closes the two. Raises InputError where they have other classes, where ``classes`` is too small, and
    for what RecordSet refuses.
    """
    with ExitStack() as stack:
        train = stack.enter_context(RecordSet(train_source, 'train', part))
        val = stack.enter_context(RecordSet(val_source, 'val'))
        known = max(len(records.classes or ()) for records in (train, val))
        if train.classes and val.classes and train.classes != val.classes:
            raise InputError(f'{val_source}: its classes are not those of {train_source}')
        if classes and classes < known:
            raise InputError(f'--num-classes {classes}, but the data have {known} classes')
        classes = classes or (len(train.classes) if train.classes else max(train.count_classes(), val.count_classes()))
        stack.pop_all()     # both stay open
    return train, val, classes
