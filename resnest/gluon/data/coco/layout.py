"""Where the annotations and the pictures of COCO lie, and those of sets that are laid out like it."""
import os
from pathlib import Path

from resnest.errors import InputError
from resnest.reading import one_line

__all__ = ['find_panoptic', 'find_split', 'require_pictures']

YEARS = ('2017', '')        # train2017/ as COCO has it, train/ as people have it
INSIDE = ('', 'images')     # folders in which those of the pictures may lie
SHOWN = 5                   # files that a message lists


def find_split(root, split, kind='instances'):
    """``(annotations, folder of pictures)`` of the split ``'train'`` or ``'val'`` of a data set; the ``kind`` of the
    annotations is that in their file's name, 'instances' or 'person_keypoints'.

    Raises InputError that names what is missing.
    """
    root = Path(os.path.expanduser(root))
    if not root.is_dir():
        raise InputError(f'{one_line(root)}: no such folder')
    for year in YEARS:
        annotations = root / 'annotations' / f'{kind}_{split}{year}.json'
        if annotations.is_file():
            folders = [root / inside / f'{split}{year}' for inside in INSIDE]
            folder = next((each for each in folders if each.is_dir()), None)
            if folder is None:
                raise InputError(f'{one_line(folders[0])}: no such folder, though there is {one_line(annotations)}; '
                                 f'unpack the pictures there')
            return annotations, folder
    raise InputError(f'{one_line(root)}: no annotations/{kind}_{split}2017.json beside {split}2017/, nor '
                     f'annotations/{kind}_{split}.json beside {split}/; or give --annotations FILE --images FOLDER')


def find_panoptic(annotations, required=True):
    """``(panoptic annotations, folder of their PNGs)`` that belong to those of instances, by their name.

    Where they are missing, None unless they are ``required``; otherwise InputError that names what is.
    """
    annotations = Path(annotations)
    panoptic = annotations.with_name(annotations.name.replace('instances', 'panoptic', 1))
    if panoptic == annotations:
        panoptic = annotations.with_name(f'panoptic_{annotations.name}')
    folder = panoptic.with_suffix('')
    for found, what in ((panoptic.is_file(), panoptic), (folder.is_dir(), folder)):
        if not found and (required or what == folder):
            raise InputError(f'{one_line(what)}: missing; unpack the panoptic annotations there')
        if not found:
            return None
    return panoptic, folder


def require_pictures(folder, names, told_by):
    """Raise InputError for the first of ``names`` that is no file in ``folder``; each folder is listed once."""
    listed, missing = {}, []
    for name in names:
        parent, _, last = name.rpartition('/')
        if parent not in listed:
            listed[parent] = _names_in(Path(folder, parent))
        if last not in listed[parent]:
            missing.append(name)
    if missing:
        more = f', and so are {len(missing) - 1} more' if len(missing) > 1 else ''
        raise InputError(f'{one_line(Path(folder, missing[0]), 1000)}: a picture of {one_line(told_by)} that is '
                         f'missing{more}')


def _names_in(folder):
    try:
        return set(os.listdir(folder))
    except (OSError, ValueError):
        return ()
