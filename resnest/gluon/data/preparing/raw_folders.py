"""The original images in one folder per class, as ``--raw`` writes them beside the shards."""
import contextlib
import os
from pathlib import PurePosixPath

__all__ = ['raw_place', 'unfinished', 'write_image']

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
    part = target / place.parts[0] / PART.format(index)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from None


def unfinished(folder):
    """What a killed run left unfinished of a split's folder."""
    return folder.glob(PART.format('*'))
