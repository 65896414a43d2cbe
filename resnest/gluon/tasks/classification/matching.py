"""The classes of a data set are those of the weights that bear the same names, whatever their number and order."""
from collections import Counter

from resnest.errors import InputError
from resnest.reading import one_line

from .names import imagenet_classes

__all__ = ['Matched', 'match']

MOST_LISTED = 10


class Matched:
    """A data set whose labels are the network's: that of the data's class ``i`` is ``labels[i]``; its own names of the
    classes, in another order, are none any more."""

    classes = None

    def __init__(self, records, labels):
        self._records, self._labels = records, labels

    def __getattr__(self, name):
        return getattr(self._records, name)

    def __len__(self):
        return len(self._records)

    def __repr__(self):
        return f'Matched({self._records!r}, {len(self._labels)} classes by name)'

    def __getitem__(self, index):
        data, label = self._records[index]
        if not 0 <= label < len(self._labels):
            raise InputError(f'{self._records.where(index)}: label {label}, but there are {len(self._labels)} classes; '
                             'prepare the data again')
        return data, self._labels[label]


def match(records, source, what, classes, description=None, numbered=False):
    """The records with the labels of the network.

    Parameters
    ----------
    records : RecordSet or FolderSet
        ``records.classes`` are the names in the order of its labels, or None: the labels are right then.
    source, what : str
        What the data and the weights are called in messages.
    classes : int
        Of the network.
    description : Description
        Of the weights. Where it names the classes, they are found by name, ImageNet's WNID or readable name; so are
        ImageNet's where bare weights know 1000 classes. Other bare weights have the data's classes, in their order.
    numbered : bool
        Whether it has been said how many classes bare weights know: data may have fewer.

    Raises InputError, with a list, for names that the weights do not know, and for another number of classes.
    """
    names = records.classes
    if not names:
        return records
    named = bool(description and description.names)
    table = _labels_of(description.names, description.words) if named else _imagenet() if classes == 1000 else {}
    unknown = [name for name in names if name not in table]
    if table and not unknown:
        labels = [table[name] for name in names]
        return records if labels == list(range(len(labels))) else Matched(records, labels)
    if named or 0 < len(unknown) < len(names) != classes:
        known = list(description.names if named else imagenet_classes())
        raise InputError(f'{one_line(source)}: {what} do not know {_listed(unknown)}, only {_listed(known)}; rename '
                         'these classes or leave them out, or give other weights')
    if len(names) == classes or numbered and len(names) < classes:
        return records
    raise InputError(f'{what} know {classes} classes, not {len(names)} as {one_line(source)} has; give the weights of '
                     'these classes with --resume')


def _labels_of(names, words):
    """The labels by all that the classes may be called; a word that two classes share names neither."""
    readable = imagenet_classes()
    wnids = {name: wnid for wnid, name in readable.items()}
    table = {name: label for label, name in enumerate(names)}
    for each in (words or (), [readable.get(name) for name in names], [wnids.get(name) for name in names]):
        often = Counter(each)
        for label, name in enumerate(each):
            if name and often[name] == 1:
                table.setdefault(name, label)
    return table


def _imagenet():
    return _labels_of(list(imagenet_classes()), None)


def _listed(names):
    more = f' … ({len(names)} in all)' if len(names) > MOST_LISTED else ''
    return ', '.join(one_line(name, 60) for name in names[:MOST_LISTED]) + more
