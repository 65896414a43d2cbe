"""Loose images in one folder per class, listed by one set of rules, for preparing and for reading them as they are.

- ``root`` holds one folder per class, or ``train/`` and ``val/`` that do. Labels are the places of the class names in
  sorted order; where there is ``train/``, its classes are those of ``val/`` too.
- An image is a file with one of :data:`IMAGE_SUFFIXES`, in upper or lower case, in a class folder or anywhere below
  it, in sorted order; links are followed. Other files are passed over, and so is what is hidden (a leading dot);
  pictures of :data:`FOREIGN_SUFFIXES`, which are not decoded here, are passed over too, but told.
- Refused, since labels would be wrong or images lost: images that lie in no class folder, a single class, a class
  without images, a class that only ``val/`` has, a class name that cannot be shown, a folder that cannot be listed or
  that leads back to one above it, and one more than 100 folders deep.
"""
import os
import stat
from pathlib import Path, PurePosixPath

from resnest.errors import InputError
from resnest.reading import one_line

from .holding_out import hold_out
from .rules import rule_of_classes
from .samples import Samples, Source, refuse_class_name

__all__ = ['FOREIGN_SUFFIXES', 'IMAGE_SUFFIXES', 'class_names', 'foreign_note', 'has_val', 'image_folder',
           'images_below', 'list_classes', 'list_split']

IMAGE_SUFFIXES = ('.jpeg', '.jpg', '.jpe', '.jfif', '.mpo', '.jp2', '.png', '.apng', '.bmp', '.gif', '.ppm', '.pgm',
                  '.tga', '.tif', '.tiff', '.webp')
FOREIGN_SUFFIXES = ('.heic', '.heif', '.avif', '.jxl', '.svg', '.dng', '.cr2', '.cr3', '.nef', '.arw')
DEEPEST = 100       # folders within folders


def image_folder(root, val_fraction=None, seed=0):
    """The :class:`Source` of the images below ``root``.

    Without ``train/`` in it, all of them are training images. Of those, ``val_fraction`` are held out for validation
    where it is given (:mod:`.holding_out`); ``root`` must not have ``val/`` then.
    """
    classes, found = [], {}
    for split in ['train', *(['val'] if has_val(root) else [])]:
        classes, found[split] = list_split(root, split)
    notes = [note for note in map(foreign_note, found.values()) if note]
    if val_fraction is not None:
        _refuse_val(root)
        found = hold_out(found['train'], classes, val_fraction, seed)
    return Source('image folder', classes, found, modified=max(samples.modified for samples in found.values()),
                  decoding=rule_of_classes(classes), val_fraction=val_fraction, notes=notes)


def has_val(root):
    """Whether a folder of images has a validation split of its own."""
    return (root / 'train').is_dir() and (root / 'val').is_dir()


def _refuse_val(root):
    if has_val(root):
        raise InputError(f'{root}: has a validation split already, {root / "val"}; leave out --val-fraction')


def list_split(root, split, val_fraction=None, seed=0, single=False):
    """(class names, :class:`Samples`) of ``root/split`` where ``root`` has splits, else of ``root`` itself.

    With ``val_fraction`` it is that split of :func:`.hold_out`; ``root`` must not have ``val/`` then. A
    ``single`` class is right where labels are found by names.
    """
    root = Path(root).expanduser()
    if val_fraction is not None:
        _refuse_val(root)
        classes, samples = list_split(root, 'train', single=single)
        return classes, hold_out(samples, classes, val_fraction, seed)[split]
    if not root.is_dir():
        raise InputError(f'{root}: no such folder')
    train, folder = root / 'train', root / split
    if train.is_dir() and not folder.is_dir():
        raise InputError(f'{folder}: missing, but there is {train}; give a folder that has both, or the one that holds '
                         'one folder per class')
    if not folder.is_dir():
        folder = root
    leading = train if train.is_dir() else folder
    classes = class_names(leading)
    if len(classes) == 1 and not single:
        raise InputError(f'{leading}: {classes[0]} is the only folder, so every image would get label 0; give the '
                         f'folder that holds one folder per class, or train/ and val/')
    names = classes if folder == leading else class_names(folder)
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise InputError(f'{folder / unknown[0]}: a class that {leading} does not have; a split needs one folder '
                         f'per class, named alike in train and val')
    labels = {name: label for label, name in enumerate(classes)}
    return classes, list_classes(folder, {name: labels[name] for name in names})


def class_names(folder):
    """The sorted names of the class folders of ``folder``; raises InputError for none, and for loose images."""
    entries = [entry for entry in _scan(folder) if not entry.name.startswith('.')]
    names = sorted(entry.name for entry in entries if _is_folder(entry))
    loose = sorted(entry.name for entry in entries if not _is_folder(entry) and _is_image(entry.name))
    if loose:
        raise InputError(f'{folder}: flat: {one_line(loose[0])} and {len(loose) - 1} more lie in no class folder, so '
                         f'every image would get label 0; sort them into one folder per class, or prepare from the '
                         f'official tars, whose development kit tells the labels')
    if not names:
        raise InputError(f'{folder}: no class folders with images in it; give the folder that holds one folder per '
                         f'class')
    for name in names:
        refuse_class_name(name, folder)
    return names


def list_classes(folder, labels):
    """:class:`Samples` of the class folders of ``folder`` that ``labels`` maps to labels."""
    samples = Samples(folder)
    for name, label in labels.items():
        before = len(samples)
        for path in images_below(folder / name, samples.foreign):
            samples.add_file(path, label)
        if len(samples) == before:
            if samples.foreign and (folder / name) in samples.foreign[-1].parents:
                raise InputError(f'{folder / name}: a class without images that can be decoded here, only such as '
                                 f'{one_line(samples.foreign[-1].name)}; convert them to JPEG or PNG')
            raise InputError(f'{folder / name}: a class without images ({" ".join(IMAGE_SUFFIXES)}); delete the folder '
                             f'or fill it')
    return samples


def foreign_note(samples):
    """A line about the pictures that were passed over since they are not decoded here, or None."""
    if not samples.foreign:
        return None
    kinds = ' '.join(sorted({path.suffix.lower() for path in samples.foreign}))
    first, count = one_line(samples.foreign[0].name), len(samples.foreign)
    told = f'{count} pictures are left out, {first} the first' if count > 1 else f'{first} is left out'
    return f'{samples.path}: {told}: {kinds} is not decoded here; convert to JPEG or PNG'


def images_below(folder, foreign, above=()):
    """Paths of the images in a folder and below it, those of a folder before those of its subfolders.

    Those of :data:`FOREIGN_SUFFIXES` go into the list ``foreign`` instead.
    """
    status = _status(folder)
    above = (*above, (status.st_dev, status.st_ino))
    if len(above) > DEEPEST:
        raise InputError(f'{one_line(folder)}: more than {DEEPEST} folders deep; give the folder that holds one '
                         f'folder per class')
    entries = sorted((entry for entry in _scan(folder) if not entry.name.startswith('.')), key=lambda entry: entry.name)
    for entry in entries:
        if _suffix(entry.name) in FOREIGN_SUFFIXES and not _is_folder(entry):
            foreign.append(Path(entry.path))
        if _is_image(entry.name) and not _is_folder(entry):
            if not stat.S_ISREG(_status(entry.path).st_mode):
                raise InputError(f'{one_line(entry.path, 1000)}: not a plain file; remove it')
            yield Path(entry.path)
    for entry in entries:
        if _is_folder(entry):
            status = _status(entry.path)
            if (status.st_dev, status.st_ino) in above:
                raise InputError(f'{one_line(entry.path, 1000)}: a link that leads back to a folder above it; '
                                 f'remove it')
            yield from images_below(entry.path, foreign, above)


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:     # a link in a circle
        return False


def _status(path):
    try:
        return os.stat(path)
    except OSError as error:
        raise InputError(f'{one_line(path, 1000)}: cannot be read: {error.strerror}; remove it') from None


def _suffix(name):
    return PurePosixPath(name).suffix.lower()


def _is_image(name):
    return _suffix(name) in IMAGE_SUFFIXES


def _scan(folder):
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise InputError(f'{one_line(folder, 1000)}: cannot be listed: {error.strerror}') from None
