"""A folder of images, one folder a class, and Kaggle's layout of ILSVRC 2012, as a :class:`Source`."""
import csv
import os
from pathlib import Path, PurePosixPath

from resnest.errors import InputError

from .samples import Samples, Source

__all__ = ['image_folder', 'kaggle', 'find_kaggle']

SUFFIXES = ('.jpeg', '.jpg', '.png', '.bmp', '.gif', '.ppm', '.tif', '.tiff', '.webp')
SOLUTION = 'LOC_val_solution.csv'
SYNSETS = 'LOC_synset_mapping.txt'


def image_folder(root):
    """The images of ``root/<class>/…``, or of ``root/train/<class>/…`` and ``root/val/<class>/…``.

    Labels are the places of the class names in sorted order. Files that are no images, by their suffix, and hidden
    ones are passed over. Raises InputError for a flat split, an empty class, and a class that only val has.
    """
    source = Source('image folder', [], {})
    for split in ('train', 'val') if (root / 'train').is_dir() else ('train',):
        folder = root / split if (root / 'train').is_dir() else root
        if split == 'val' and not folder.is_dir():
            continue
        found = _class_names(folder)
        unknown = sorted(set(found) - set(source.classes)) if split == 'val' else []
        if unknown:
            raise InputError(f'{folder / unknown[0]}: a class that {root / "train"} does not have; a split needs one '
                             f'folder a class, named alike in train and val')
        source.classes = source.classes or found
        if len(found) == 1 and split == 'train':
            raise InputError(f'{folder}: {found[0]} is the only folder, so every image would get label 0; give the '
                             f'folder that holds one folder a class, or train/ and val/')
        source.splits[split] = _index(source, folder, [(name, source.classes.index(name)) for name in found])
    return source


def find_kaggle(root):
    """The folder ``CLS-LOC`` of Kaggle's layout at or below ``root``, None where it is another layout."""
    candidates = [root / 'ILSVRC/Data/CLS-LOC', root / 'Data/CLS-LOC', root / 'CLS-LOC', root]
    return next((path for path in candidates if path.resolve().name == 'CLS-LOC' and path.is_dir()), None)


def kaggle(root):
    """``ILSVRC/Data/CLS-LOC`` with train/<wnid>/ and a flat val/, whose labels ``LOC_val_solution.csv`` tells."""
    data = find_kaggle(root)
    train, val = data / 'train', data / 'val'
    if not train.is_dir():
        raise InputError(f'{train}: missing; unpack the archive of Kaggle again')
    source = Source('Kaggle', _class_names(train), {})
    source.splits['train'] = _index(source, train, [(name, label) for label, name in enumerate(source.classes)])
    labels = {name: label for label, name in enumerate(source.classes)}
    synsets = _beside(data, SYNSETS)
    if synsets:
        lines = (line.split(maxsplit=1) for line in synsets.read_text().splitlines())
        words = {line[0]: line[1] for line in lines if len(line) == 2}
        source.words = [words.get(name, '') for name in source.classes]
    if not val.is_dir():
        return source
    solution = _beside(data, SOLUTION)
    if not solution:
        raise InputError(f'{val}: its labels are in {SOLUTION}, which is missing; put it from Kaggle into {root}')
    truth = _read_solution(solution)
    samples = source.splits['val'] = Samples(val)
    for path in _images(val):
        wnid = truth.pop(path.stem, None)
        if wnid not in labels:
            raise InputError(f'{path}: {f"its class {wnid} is not in train" if wnid else f"no line in {solution}"}; '
                             f'unpack the archive of Kaggle again')
        _add(source, samples, path, labels[wnid])
    if truth:
        raise InputError(f'{val}: {next(iter(truth))} is missing ({len(truth)} images of {solution.name} are); '
                         f'unpack the archive of Kaggle again')
    return source


def _class_names(folder):
    entries = [entry for entry in os.scandir(folder) if not entry.name.startswith('.')]
    names = sorted(entry.name for entry in entries if entry.is_dir())
    loose = sorted(entry.name for entry in entries if not entry.is_dir() and _is_image(entry.name))
    if loose:
        raise InputError(f'{folder}: flat: {loose[0]} and {len(loose) - 1} more lie in no class folder, so every image '
                         f'would get label 0; sort them into one folder a class, or prepare from the official tars, '
                         f'whose development kit tells the labels')
    if not names:
        raise InputError(f'{folder}: no class folders with images in it; give the folder that holds one folder a class')
    return names


def _index(source, folder, classes):
    samples = Samples(folder)
    for name, label in classes:
        before = len(samples)
        for path in _images(folder / name):
            _add(source, samples, path, label)
        if len(samples) == before:
            raise InputError(f'{folder / name}: a class without images; delete the folder or fill it')
    return samples


def _add(source, samples, path, label):
    status = path.stat()
    source.modified = max(source.modified, status.st_mtime_ns)
    samples.add(path.relative_to(samples.path).as_posix(), status.st_size, label)


def _images(folder):
    """Paths of the images below a folder, in sorted order."""
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(files) if _is_image(name))


def _is_image(name):
    return not name.startswith('.') and PurePosixPath(name).suffix.lower() in SUFFIXES


def _beside(data, name):
    """A file of the archive's root: beside ILSVRC/, or anywhere on the way down."""
    folders = [data, *list(data.resolve().parents)[:3]]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _read_solution(path):
    """Image name → WNID, out of ``ImageId,PredictionString``; the string starts with the WNID."""
    with open(path, newline='') as opened:
        try:
            return {row['ImageId']: row['PredictionString'].split()[0] for row in csv.DictReader(opened)}
        except (KeyError, IndexError, AttributeError, csv.Error, UnicodeDecodeError):
            raise InputError(f'{path}: not the table ImageId,PredictionString; download it from Kaggle '
                             f'again') from None
