"""The original images in one folder per class, as ``--raw`` writes them beside the shards."""
import contextlib
import os
import secrets
from pathlib import PurePosixPath

from resnest.reading import one_line

from ..shards.writer import sync_folder

__all__ = ['are_there', 'originals', 'raw_place', 'sync_images', 'unfinished', 'write_image']

PART = '.prepare-{}.part'       # hidden: no image, for those who read the folder


def raw_place(split, class_name, name):
    """Where, below ``--target-dir``, an image goes that bears ``name`` in its source.

    Training images lie in a folder or a tar per class there, and keep the folders below it.
    """
    inside = PurePosixPath(name)
    return PurePosixPath(split, class_name, *inside.parts[1:]) if split == 'train' else \
        PurePosixPath(split, class_name, inside.name)


def write_image(target, place, index, data):
    """Write image ``index`` of a split to ``target/place``; it appears whole or not at all."""
    path = target / place
    # Not beside it: what is left of a killed run must be found, and a name may be as long as names can be.
    # Its name is nobody else's, and new: what lies there under any name is neither followed nor written to.
    part = target / place.parts[0] / PART.format(f'{index}-{secrets.token_hex(8)}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, 'xb') as opened:
            opened.write(data)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from None


def originals(target, split, source, indices, skipped):
    """Yield path and size of the files that :func:`write_image` makes of some images of a :class:`Source`; ``skipped``
    tells of those that were left out."""
    left_out, samples = {item['member'] for item in skipped}, source.splits[split]
    for index in indices:
        name = samples.name(index)
        if one_line(name) not in left_out:
            yield target / raw_place(split, source.classes[samples.labels[index]], name), samples.sizes[index]


def are_there(files):
    """Whether all files, given by path and size, are there."""
    return all(path.is_file() and path.stat().st_size == size for path, size in files)


def sync_images(files):
    """Wait until files, given by path and size, and their names are on the disk."""
    folders = set()
    for path, _ in files:
        folders.add(path.parent)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    for folder in folders | {folder.parent for folder in folders}:
        sync_folder(folder)


def unfinished(folder):
    """What a killed run left unfinished of a split's folder."""
    return folder.glob(PART.format('*'))
