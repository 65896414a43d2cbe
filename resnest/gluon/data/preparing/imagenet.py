"""ILSVRC 2012 from its official tars (https://image-net.org), indexed by one pass over their headers.

The training tar is a tar of class tars, none of them compressed: every image lies as it is at some offset of the
outer file. Labels are the places of the WordNet ids (WNIDs) in sorted order; those of the validation images come
from the development kit.
"""
import hashlib
import re
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from resnest.errors import InputError
from resnest.reading import one_line, open_plain

from ..images.class_folders import image_folder
from ..images.samples import Samples, Source, refuse_class_name
from .devkit import GROUND_TRUTH, read_devkit
from .kaggle import find_kaggle, kaggle_source
from .tar_index import tar_members

__all__ = ['find_source', 'official_tars', 'verify_checksums']

TRAIN, VAL, DEVKIT = 'ILSVRC2012_img_train.tar', 'ILSVRC2012_img_val.tar', 'ILSVRC2012_devkit_t12.tar.gz'
CHECKSUMS = {TRAIN: ('sha1', '43eda4fe35c1705d6606a6a7a633bc965d194284'),
             VAL: ('sha1', '5f3f73da3395154b60528b2b2a2caf2374f5f178'),
             DEVKIT: ('md5', 'fa75699e90414af021442c21a62c3abf')}
WHERE = 'after registering, download it from https://image-net.org/challenges/LSVRC/2012 '


def find_source(download_dir, folder=None, checksum=False, val_fraction=None, seed=0):
    """The :class:`Source` in ``folder`` (an image folder or the Kaggle layout) or in ``download_dir`` (the official
    tars, or the Kaggle layout). ``val_fraction`` and ``seed`` are for an image folder (:func:`.image_folder`). Raises
    InputError for what is missing, damaged or of the wrong ``checksum``."""
    root = Path(folder or download_dir).expanduser()
    if not root.is_dir():
        raise InputError(f'{root}: no such folder; give the one that holds the data with '
                         f'{"--image-folder" if folder else "--download-dir"}')
    kaggle = find_kaggle(root)
    official = not folder and ((root / TRAIN).exists() or not kaggle)
    if checksum and not official:
        raise InputError(f'{root}: --checksum is for the official tars; leave it out')
    if not official and not kaggle:
        return image_folder(root, val_fraction, seed)
    if val_fraction is not None:
        raise InputError(f'{root}: ImageNet has validation images of its own; leave out --val-fraction')
    if not official:
        return kaggle_source(root)
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
    with open_plain(path) as opened:
        tars = {}
        for name, offset, size in tar_members(opened.fileno(), path):
            inner = PurePosixPath(name)
            if inner.suffix != '.tar' or inner.stem in tars:
                what = 'comes twice' if inner.stem in tars else 'is not a class tar (n########.tar)'
                raise InputError(f'{path}: the member {one_line(name)} {what}; use the official {TRAIN}')
            refuse_class_name(inner.stem, f'{path}: the member {one_line(name)}')
            tars[inner.stem] = offset, size
        classes = sorted(tars)
        labels = {name: label for label, name in enumerate(classes)}
        for wnid, (offset, size) in tqdm(tars.items(), 'index train', unit=' classes', disable=None, leave=False):
            seen = set()
            for name, start, length in tar_members(opened.fileno(), f'{path}: {wnid}.tar', offset, offset + size):
                inner = PurePosixPath(name)
                if not inner.name:
                    raise InputError(f'{path}: {wnid}.tar: the file at byte {start} has no name; download it again')
                if inner in seen:
                    raise InputError(f'{path}: {wnid}.tar: {one_line(name)} comes twice; download it again')
                seen.add(inner)
                samples.add(f'{wnid}.tar/{inner}', length, labels[wnid], start)
            if not seen:
                raise InputError(f'{path}: {wnid}.tar holds no image; download it again')
    if not classes:
        raise InputError(f'{path}: holds no class tars; use the official {TRAIN}')
    return samples, classes


def index_val(path, devkit, truth, classes):
    """:class:`Samples` of the flat tar; ``truth`` are the WNIDs of image 1, 2, …"""
    labels = {name: label for label, name in enumerate(classes)}
    samples, seen = Samples(path), bytearray(len(truth))
    with open_plain(path) as opened:
        for name, start, length in tar_members(opened.fileno(), path):
            match = re.fullmatch(r'ILSVRC2012_val_(\d{8})\.\w{1,9}', PurePosixPath(name).name, re.ASCII)
            if not match:
                raise InputError(f'{path}: the member {one_line(name)} is not named ILSVRC2012_val_########.JPEG; '
                                 f'use the official {VAL}')
            number = int(match.group(1)) - 1
            if not 0 <= number < len(truth):
                raise InputError(f'{path}: {one_line(name)} has no line in {GROUND_TRUTH} of {devkit.name}, which has '
                                 f'{len(truth)} lines; the two must be of one release')
            if seen[number]:
                raise InputError(f'{path}: {one_line(name)} comes twice; download it again')
            if truth[number] not in labels:
                raise InputError(f'{path}: {one_line(name)} is of class {one_line(truth[number], 40)}, of which '
                                 f'{TRAIN} has no image; the tars and {devkit.name} must be of one release')
            seen[number] = True
            samples.add(name, length, labels[truth[number]], start)
    if len(samples) != len(truth):
        raise InputError(f'{path}: {len(samples)} images, but {GROUND_TRUTH} of {devkit.name} has {len(truth)} lines '
                         f'(the first image that is missing is number {seen.index(0) + 1}); download both again')
    return samples


def verify_checksums(paths):
    """Compare files with the official checksums; raises InputError that names the one that differs."""
    total = sum(path.stat().st_size for path in paths)
    with tqdm(total=total, desc='checksum', unit='B', unit_scale=True, disable=None, leave=False) as bar:
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
