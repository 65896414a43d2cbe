"""A validation split out of the images of a folder that has none: a share of each class, chosen by name."""
import hashlib

from resnest.errors import InputError
from resnest.reading import one_line

__all__ = ['SAMPLE', 'held_out', 'hold_out', 'is_sampled_from', 'sample_of']

SAMPLE = 32         # images by which a folder is known again


def hold_out(samples, classes, fraction, seed):
    """``{'train': Samples, 'val': Samples}``: those of :func:`held_out` are the split ``'val'``."""
    return {split: samples.subset(indices) for split, indices in held_out(samples, classes, fraction, seed).items()}


def held_out(samples, classes, fraction, seed):
    """``{'train': indices, 'val': indices}``: of each class ``fraction`` of the images is held out for validation.

    The images of a class stand in the order of a hash of the seed and their name below ``samples.path``, which begins
    with the class folder; the first ones are held out. So an image's place in that order depends on no other image, and
    a folder that grows keeps nearly all of its choice. At least one image of each class lies on either side. Raises
    InputError for a class of a single image, and for a fraction that is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise InputError(f'--val-fraction must be above 0 and below 1, got {fraction}')
    ranked = [[] for _ in classes]
    for index, label in enumerate(samples.labels):
        key = f'{seed}\0{samples.name(index)}'.encode(errors='surrogateescape')
        ranked[label].append((hashlib.sha256(key).digest(), index))
    held = set()
    for name, found in zip(classes, ranked):
        if len(found) == 1:
            raise InputError(f'{one_line(samples.path / name)}: a single image, of which no part can be held out for '
                             f'validation; add another one, or give val/ yourself, without --val-fraction')
        count = min(len(found) - 1, max(1, round(len(found) * fraction)))
        held.update(index for _, index in sorted(found)[:count])
    return {'train': [index for index in range(len(samples)) if index not in held], 'val': sorted(held)}


def sample_of(samples):
    """Some of the images by which their folder is known again: hashes of names and sizes, the smallest ones.

    Where the folder grows by a few images, nearly all of them stay (Broder, 1997, "On the resemblance and containment
    of documents").
    """
    return sorted(_hashes(samples))[:SAMPLE]


def is_sampled_from(sample, samples):
    """Whether ``samples`` are of the folder of a :func:`sample_of`: some classes of it may be gone, others be new."""
    return 8 * len({*sample} & {*_hashes(samples)}) >= len(sample)


def _hashes(samples):
    for index, size in enumerate(samples.sizes):
        key = f'{size}\0{samples.name(index)}'.encode(errors='surrogateescape')
        yield hashlib.sha256(key).hexdigest()[:16]
