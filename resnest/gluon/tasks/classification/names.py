"""What the classes are called.

``imagenet_classes.txt`` has a line ``WNID name`` for each of ImageNet's 1000 classes, in the order of the labels, which
is that of the sorted WNIDs. It is made from ``gluoncv.data.ImageNet1kAttr`` of gluoncv 0.10.5 (Apache-2.0, copyright
its contributors); the two that are called "crane" and the two called "maillot" are told apart.
"""
import os
from functools import lru_cache
from pathlib import Path

from resnest.errors import InputError
from resnest.gluon.data import shard_folder
from resnest.reading import CONTROL, one_line, read_json, read_text

__all__ = ['class_names', 'imagenet_classes', 'label_names', 'label_words', 'readable_names']

FILE = Path(__file__).with_name('imagenet_classes.txt')


@lru_cache(maxsize=1)
def imagenet_classes():
    """``{WNID: name}`` in the order of the labels."""
    return dict(line.split(' ', 1) for line in FILE.read_text(encoding='utf-8').splitlines())


def class_names(count, source=None, description=None):
    """The names of ``count`` classes, in the order of the labels.

    Parameters
    ----------
    count : int
    source : str, Path or list of str
        The names, or a file with a name on each line, the ``manifest.json`` of a folder of shards, or that folder.
        Without it they are those of the ``description``; without those, 1000 classes are ImageNet's, and others are
        called by their numbers. WNIDs in files are replaced by ImageNet's names.
    description : Description
        Of the weights, or None.

    Raises InputError for a file that cannot be read, and for another number of names.
    """
    if source is None and description and description.names:
        words = description.words or [''] * count
        return [word or name for word, name in zip(words, readable_names(description.names))]
    if source is None:
        return list(imagenet_classes().values()) if count == 1000 else [str(number) for number in range(count)]
    if isinstance(source, (list, tuple)):
        if len(source) != count:
            raise InputError(f'{len(source)} names, but the network has {count} classes')
        return list(map(str, source))
    if not isinstance(source, (str, os.PathLike)):
        raise InputError('classes must be a list of names or the path of a file with them, got '
                         f'{one_line(repr(source), 60)}')
    path = Path(os.path.expanduser(source))
    if path.is_dir():
        path = shard_folder(path) / 'manifest.json'
    told = one_line(path)
    if not path.exists():
        raise InputError(f'{told}: no such file; give --classes a file with a name on each line, or a manifest.json')
    if path.suffix == '.json':
        found = read_json(path)
        names = found.get('classes') if isinstance(found, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"{told}: no manifest.json with 'classes', a list of names")
    else:
        names = read_text(path).strip().splitlines()
    if len(names) != count:
        raise InputError(f'{told}: {len(names)} names, but the network has {count} classes')
    known = imagenet_classes()
    return [known.get(name.strip(), one_line(' '.join(name.split()))) for name in names]


def readable_names(names):
    """The names, with ImageNet's in the place of its WNIDs."""
    known = imagenet_classes()
    return [known.get(name, name) for name in names]


def label_names(names, count):
    """The names of a data set for ``count`` labels, those that it does not name by their numbers; None for no names.

    None, too, where classes could not be told apart by them.
    """
    if not names or len(names) > count:
        return None
    whole = [*names, *(str(number) for number in range(len(names), count))]
    return whole if len(set(whole)) == count and not any(map(CONTROL.search, whole)) and all(whole) else None


def label_words(words, count):
    """The readable names in the same way, empty where there is none; None for no words."""
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words) or not any(words) or \
            len(words) > count:
        return None
    return [one_line(word) for word in words] + [''] * (count - len(words))
