"""ILSVRC 2012 from its official tars (https://image-net.org), indexed by one pass over their headers.

The training tar is a tar of class tars, none of them compressed: every image lies as it is at some offset of the
outer file. Labels are the places of the WordNet ids (WNIDs) in sorted order; those of the validation images come
from the development kit.
"""
import hashlib
import os
import re
import tarfile
from io import BytesIO
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from resnest.errors import InputError

from ..images.class_folders import image_folder
from ..images.samples import Samples, Source
from .kaggle import find_kaggle, kaggle_source
from .tar_index import refuse_unsafe, tar_members

__all__ = ['find_source', 'official_tars', 'verify_checksums', 'read_devkit']

TRAIN, VAL, DEVKIT = 'ILSVRC2012_img_train.tar', 'ILSVRC2012_img_val.tar', 'ILSVRC2012_devkit_t12.tar.gz'
CHECKSUMS = {TRAIN: ('sha1', '43eda4fe35c1705d6606a6a7a633bc965d194284'),
             VAL: ('sha1', '5f3f73da3395154b60528b2b2a2caf2374f5f178'),
             DEVKIT: ('md5', 'fa75699e90414af021442c21a62c3abf')}
WHERE = 'after registering, download it from https://image-net.org/challenges/LSVRC/2012 '
GROUND_TRUTH = 'data/ILSVRC2012_validation_ground_truth.txt'


def find_source(download_dir, folder=None, checksum=False):
    """The :class:`Source` in ``folder`` (an image folder or the Kaggle layout) or in ``download_dir`` (the official
    tars, or the Kaggle layout). Raises InputError for what is missing, damaged or of the wrong ``checksum``."""
    root = Path(folder or download_dir).expanduser()
    if not root.is_dir():
        raise InputError(f'{root}: no such folder; give the one that holds the data with '
                         f'{"--image-folder" if folder else "--download-dir"}')
    if folder or find_kaggle(root) and not (root / TRAIN).exists():
        if checksum:
            raise InputError(f'{root}: --checksum is for the official tars; leave it out')
        return kaggle_source(root) if find_kaggle(root) else image_folder(root)
    return official_tars(root, checksum)


def official_tars(folder, checksum=False):
    """Index the two tars of ``folder`` with the labels of the development kit; see :func:`find_source`."""
    train, val, devkit = paths = [folder / name for name in (TRAIN, VAL, DEVKIT)]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise InputError(f'{missing[0]}: missing; {WHERE}and put {TRAIN}, {VAL} and {DEVKIT} into {folder}; '
                         f'a folder of images goes with --image-folder')
    if checksum:
        verify_checksums(paths)
    wnids, words, truth = read_devkit(devkit)
    samples, classes = index_train(train)
    splits = {'train': samples, 'val': index_val(val, devkit, [wnids[number] for number in truth], classes)}
    return Source('ILSVRC2012 tars', classes, splits, [words.get(name, '') for name in classes],
                  max(path.stat().st_mtime_ns for path in paths))


def index_train(path):
    """(:class:`Samples`, class names) of the tar of class tars."""
    samples = Samples(path)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        tars = {}
        for name, offset, size in tar_members(descriptor, path):
            inner = PurePosixPath(name)
            if inner.suffix != '.tar' or inner.stem in tars:
                what = 'comes twice' if inner.stem in tars else 'is not a class tar (n########.tar)'
                raise InputError(f'{path}: the member {name} {what}; use the official {TRAIN}')
            tars[inner.stem] = offset, size
        classes = sorted(tars)
        labels = {name: label for label, name in enumerate(classes)}
        for wnid, (offset, size) in tqdm(tars.items(), 'index train', unit=' classes', leave=False):
            seen = set()
            for name, start, length in tar_members(descriptor, f'{path}: {wnid}.tar', offset, offset + size):
                inner = PurePosixPath(name)
                if inner in seen:
                    raise InputError(f'{path}: {wnid}.tar: {name} comes twice; download it again')
                seen.add(inner)
                samples.add(f'{wnid}.tar/{inner}', length, labels[wnid], start)
            if not seen:
                raise InputError(f'{path}: {wnid}.tar holds no image; download it again')
    finally:
        os.close(descriptor)
    if not classes:
        raise InputError(f'{path}: holds no class tars; use the official {TRAIN}')
    return samples, classes


def index_val(path, devkit, truth, classes):
    """:class:`Samples` of the flat tar; ``truth`` are the WNIDs of image 1, 2, …"""
    labels = {name: label for label, name in enumerate(classes)}
    samples, seen = Samples(path), bytearray(len(truth))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for name, start, length in tar_members(descriptor, path):
            match = re.fullmatch(r'ILSVRC2012_val_(\d{8})\.\w+', PurePosixPath(name).name)
            if not match:
                raise InputError(f'{path}: the member {name} is not named ILSVRC2012_val_########.JPEG; '
                                 f'use the official {VAL}')
            number = int(match.group(1)) - 1
            if not 0 <= number < len(truth):
                raise InputError(f'{path}: {name} has no line in {GROUND_TRUTH} of {devkit.name}, which has '
                                 f'{len(truth)} lines; the two must be of one release')
            if seen[number]:
                raise InputError(f'{path}: {name} comes twice; download it again')
            if truth[number] not in labels:
                raise InputError(f'{path}: {name} is of class {truth[number]}, of which {TRAIN} has no image; '
                                 f'the tars and {devkit.name} must be of one release')
            seen[number] = True
            samples.add(name, length, labels[truth[number]], start)
    finally:
        os.close(descriptor)
    if len(samples) != len(truth):
        raise InputError(f'{path}: {len(samples)} images, but {GROUND_TRUTH} of {devkit.name} has {len(truth)} lines '
                         f'(the first image that is missing is number {seen.index(0) + 1}); download both again')
    return samples


def read_devkit(path):
    """(ILSVRC2012_ID → WNID, WNID → words, IDs of the validation images in order) of the development kit."""
    try:
        with tarfile.open(path, 'r:gz') as opened:
            for member in opened:
                refuse_unsafe(member.name, path)
            meta, truth = (_member(opened, path, name) for name in ('data/meta.mat', GROUND_TRUTH))
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f'{path}: not a readable .tar.gz ({error}); download it again') from None
    wnids, words = _read_meta(meta, path)
    try:
        numbers = [int(line) for line in truth.split()]
    except ValueError as error:
        raise InputError(f'{path}: {GROUND_TRUTH}: {error}; download it again') from None
    for line, number in enumerate(numbers, 1):
        if number not in wnids:
            raise InputError(f'{path}: {GROUND_TRUTH}, line {line}: {number} is no ILSVRC2012_ID of a class in '
                             f'meta.mat; download it again')
    return wnids, words, numbers


def _member(opened, path, name):
    found = [member for member in opened.getmembers() if f'/{member.name}'.endswith(f'/{name}') and member.isreg()]
    if not found:
        raise InputError(f'{path}: {name} is missing in it; {WHERE}again')
    return opened.extractfile(found[0]).read()


def _read_meta(data, path):
    """The low-level synsets (those without children) are the classes; the others are their ancestors."""
    from scipy.io import loadmat
    try:
        rows = loadmat(BytesIO(data), squeeze_me=True)['synsets'].reshape(-1)
        rows = [row for row in rows if int(row['num_children']) == 0]
        wnids = {int(row['ILSVRC2012_ID']): str(row['WNID']) for row in rows}
        words = {str(row['WNID']): str(row['words']) for row in rows}
    except Exception as error:      # SciPy raises whatever the bytes lead it to
        reason = ' '.join(str(error).split())[:100]
        raise InputError(f'{path}: data/meta.mat: not the table of synsets ({reason}); download it again') from None
    return wnids, words


def verify_checksums(paths):
    """Compare files with the official checksums; raises InputError that names the one that differs."""
    total = sum(path.stat().st_size for path in paths)
    with tqdm(total=total, desc='checksum', unit='B', unit_scale=True, leave=False) as bar:
        for path in paths:
            kind, wanted = CHECKSUMS[path.name]
            digest = hashlib.new(kind)
            with open(path, 'rb') as opened:
                while block := opened.read(1 << 22):
                    digest.update(block)
                    bar.update(len(block))
            if digest.hexdigest() != wanted:
                raise InputError(f'{path}: its {kind} is {digest.hexdigest()}, the official one {wanted}; '
                                 f'download it again, or leave --checksum out for data of your own')
