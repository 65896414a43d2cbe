"""What the classes are called.

``imagenet_classes.txt`` has a line ``WNID name`` for each of ImageNet's 1000 classes, in the order of the labels, which
is that of the sorted WNIDs. It is made from ``gluoncv.data.ImageNet1kAttr`` of gluoncv 0.10.5 (Apache-2.0, copyright
its contributors); the two that are called "crane" and the two called "maillot" are told apart.
"""
import json
from functools import lru_cache
from pathlib import Path

from resnest.errors import InputError

__all__ = ['class_names', 'imagenet_classes']

FILE = Path(__file__).with_name('imagenet_classes.txt')


@lru_cache(maxsize=1)
def imagenet_classes():
    """``{WNID: name}`` in the order of the labels."""
    return dict(line.split(' ', 1) for line in FILE.read_text(encoding='utf-8').splitlines())


def class_names(count, source=None):
    """The names of ``count`` classes, in the order of the labels.

    Parameters
    ----------
    count : int
    source : str or Path
        A file with a name a line, the ``manifest.json`` of a folder of shards, or that folder. Without it 1000 classes
        are ImageNet's, and others are called by their numbers. WNIDs are replaced by ImageNet's names.

    Raises InputError for a file that cannot be read or has another number of names.
    """
    if source is None:
        return list(imagenet_classes().values()) if count == 1000 else [str(number) for number in range(count)]
    path = Path(source).expanduser()
    if path.is_dir():
        path /= 'manifest.json'
    if not path.is_file():
        raise InputError(f'{path}: no such file; give --classes a file with a name a line, or a manifest.json')
    try:
        text = path.read_text(encoding='utf-8-sig')
        names = json.loads(text)['classes'] if path.suffix == '.json' else text.strip().splitlines()
        names = [str(name).strip() for name in names]
    except (ValueError, KeyError, TypeError):
        raise InputError(f'{path}: neither a text with a name a line nor a manifest.json with classes') from None
    if len(names) != count:
        raise InputError(f'{path}: {len(names)} names, but the network has {count} classes')
    known = imagenet_classes()
    return [known.get(name, name) for name in names]
