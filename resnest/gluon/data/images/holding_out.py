"""A validation split out of the images of a folder that has none: a share of each class, chosen by name."""
import contextlib
import hashlib

from resnest.errors import InputError
from resnest.reading import one_line

__all__ = ['SAMPLE', 'held_out', 'hold_out', 'is_same_folder', 'is_sampled_from', 'sample_of']

SAMPLE = 32         # images by which a folder is known again


def hold_out(samples, classes, fraction, seed):
    """``{'train': Samples, 'val': Samples}``: those of :func:`held_out` are the split ``'val'``."""
    return {split: samples.subset(indices) for split, indices in held_out(samples, classes, fraction, seed).items()}


def held_out(samples, classes, fraction, seed):
    """``{'train': indices, 'val': indices}``: of each class ``fraction`` of the images is held out for validation.

    A hash of the seed and of its name below ``samples.path``, which begins with the class folder, gives each image a
    place from 0 to 1, and those below ``fraction`` are held out. So an image's side depends on no other image, and
    nothing that was trained on is held out once the folder grows; the share of a class is near ``fraction``, not equal
    to it. Only where a class would have no image on one of the sides, the first or the last one by that place goes
    there. Raises InputError for a class of a single image, and for a fraction that is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise InputError(f'--val-fraction must be above 0 and below 1, got {fraction}')
    ranked = [[] for _ in classes]
    for index, label in enumerate(samples.labels):
        key = f'{seed}\0'.encode() + _name(samples, index)
        ranked[label].append((int.from_bytes(hashlib.sha256(key).digest()[:8], 'big') / 2 ** 64, index))
    held = set()
    for name, found in zip(classes, ranked):
        if len(found) == 1:
            raise InputError(f'{one_line(samples.path / name)}: a single image, of which no part can be held out for '
                             f'validation; add another one, or give val/ yourself, without --val-fraction')
        count = min(len(found) - 1, max(1, sum(place < fraction for place, _ in found)))
        held.update(index for _, index in sorted(found)[:count])
    return {'train': [index for index in range(len(samples)) if index not in held], 'val': sorted(held)}


def sample_of(samples):
    """Some of the images by which their folder is known again: hashes of a name and of the bytes, 16 digits together.

    Those with the smallest hashes of their names are taken: so any part of the folder has its share of them, whatever
    the order in which it is listed (Broder, 1997, "On the resemblance and containment of documents").
    """
    chosen = sorted((_digest(_name(samples, index)), index) for index in range(len(samples)))[:SAMPLE]
    return [name + digest for name, digest in ((name, _bytes(samples, index)) for name, index in chosen) if digest]


def is_sampled_from(sample, samples):
    """Whether ``samples`` are of the folder of a :func:`sample_of`: some classes of it may be gone, others be new.

    An eighth of the sample must be there again (:func:`is_same_folder`); an empty sample knows no folder. Only images
    whose names may be those of the sample are read.
    """
    named, found = {entry[:8] for entry in sample}, set()
    for index in range(len(samples)):
        name = _digest(_name(samples, index))
        if name in named:
            found.add(name + _bytes(samples, index))
    return is_same_folder(sample, found)


def is_same_folder(sample, other):
    """Whether an eighth of a :func:`sample_of` is found in another one."""
    return bool(sample) and 8 * len({*other} & {*sample}) >= len(sample)


def _name(samples, index):
    return samples.name(index).encode(errors='surrogateescape')


def _bytes(samples, index):
    """Of an image that cannot be read, nothing: whoever needs it will tell."""
    with contextlib.suppress(InputError):
        return _digest(samples.read(index))
    return ''


def _digest(data):
    return hashlib.sha256(data).hexdigest()[:8]
