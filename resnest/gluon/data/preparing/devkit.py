"""The development kit of ILSVRC 2012: which class each validation image has.

It is small, but compressed twice over (gzip, and MATLAB's format inside it) and read by a library for which hostile
bytes are a crash: so it is read in a process of its own, with limits.
"""
import tarfile
from io import BytesIO

from resnest.errors import InputError
from resnest.reading import one_line, open_plain
from resnest.untrusted import Failed, in_limited_process

from .tar_index import refuse_unsafe

__all__ = ['GROUND_TRUTH', 'read_devkit']

META, GROUND_TRUTH = 'data/meta.mat', 'data/ILSVRC2012_validation_ground_truth.txt'
LARGEST = 16 << 20      # bytes of a member; the official ones have less than one tenth
LONGEST = 1000          # bytes of a class name
SECONDS, MEGABYTES = 30, 1024


def read_devkit(path):
    """(ILSVRC2012_ID → WNID, WNID → words, IDs of the validation images in order) of the development kit."""
    from scipy.io import loadmat

    try:
        return in_limited_process(_read, path, loadmat, seconds=SECONDS, megabytes=MEGABYTES)
    except Failed as error:
        raise InputError(f'{path}: not the official development kit ({error}); download it again') from None


def _read(path, loadmat):
    try:
        with open_plain(path) as plain, tarfile.open(fileobj=plain, mode='r:gz') as opened:
            for member in opened:
                refuse_unsafe(member.name, path)
            meta, truth = (_member(opened, path, name) for name in (META, GROUND_TRUTH))
    except (InputError, MemoryError):
        raise
    except Exception as error:      # tarfile, gzip and zlib raise whatever the bytes lead them to
        raise InputError(f'{path}: not a readable .tar.gz ({one_line(error, 100)}); download it again') from None
    wnids, words = _read_meta(meta, path, loadmat)
    try:
        numbers = [int(line) for line in truth.split()]
    except ValueError as error:
        raise InputError(f'{path}: {GROUND_TRUTH}: {one_line(error, 100)}; download it again') from None
    for line, number in enumerate(numbers, 1):
        if number not in wnids:
            raise InputError(f'{path}: {GROUND_TRUTH}, line {line}: {one_line(number, 20)} is no ILSVRC2012_ID of a '
                             f'class in meta.mat; download it again')
    return wnids, words, numbers


def _member(opened, path, name):
    found = [member for member in opened.getmembers() if f'/{member.name}'.endswith(f'/{name}') and member.isreg()]
    if not found:
        raise InputError(f'{path}: {name} is missing in it; download it again from '
                         f'https://image-net.org/challenges/LSVRC/2012')
    if found[0].size > LARGEST:
        raise InputError(f'{path}: {name} has {found[0].size} bytes, but the official one has fewer than {LARGEST}; '
                         f'download it again')
    return opened.extractfile(found[0]).read()


def _read_meta(data, path, loadmat):
    """The low-level synsets (those without children) are the classes; the others are their ancestors."""
    try:
        rows = loadmat(BytesIO(data), squeeze_me=True, variable_names=['synsets'])['synsets'].reshape(-1)
        rows = [row for row in rows if int(row['num_children']) == 0]
        wnids = {int(row['ILSVRC2012_ID']): str(row['WNID']) for row in rows}
        words = {str(row['WNID']): str(row['words']) for row in rows}
        if not len(wnids) == len(words) == len(rows):
            raise ValueError('a class is there twice')
        if any(len(text.encode()) > LONGEST for pair in words.items() for text in pair):
            raise ValueError(f'a name of more than {LONGEST} bytes')
    except MemoryError:
        raise
    except Exception as error:      # SciPy raises whatever the bytes lead it to
        raise InputError(f'{path}: {META}: not the table of synsets ({one_line(error, 100)}); download it '
                         f'again') from None
    return wnids, words
