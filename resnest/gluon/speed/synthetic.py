"""ILSVRC 2012's three files in the official layout, filled with random pictures: data to time preparing on."""
import io
import tarfile

import numpy as np
from PIL import Image

from resnest.gluon.data.preparing.imagenet import DEVKIT, GROUND_TRUTH, TRAIN, VAL

__all__ = ['write_archive']

PICTURES = 64       # different ones; they come again and again
META = 'data/meta.mat'


def write_archive(folder, images, classes, size=(500, 375), seed=0):
    """Write the training tar (``images`` JPEGs of ``size`` px, width and height, about 50 kB each at 500 × 375), a
    validation tar of a tenth of that and the development kit into ``folder``."""
    rng = np.random.default_rng(seed)
    pictures = [_picture(rng, size) for _ in range(PICTURES)]
    wnids = [f'n{number:08d}' for number in range(1, classes + 1)]
    with _create(folder / TRAIN) as outer:
        for label, wnid in enumerate(wnids):
            buffer = io.BytesIO()
            with _create(buffer) as inner:
                for number in range(label, images, classes):
                    _add(inner, f'{wnid}_{number}.JPEG', pictures[number % PICTURES])
            _add(outer, f'{wnid}.tar', buffer.getvalue())
    truth = rng.integers(1, classes + 1, max(1, images // 10)).tolist()
    with _create(folder / VAL) as opened:
        for number in range(len(truth)):
            _add(opened, f'ILSVRC2012_val_{number + 1:08d}.JPEG', pictures[number % PICTURES])
    with _create(folder / DEVKIT, 'w:gz') as opened:
        _add(opened, f'ILSVRC2012_devkit_t12/{META}', _meta(wnids))
        _add(opened, f'ILSVRC2012_devkit_t12/{GROUND_TRUTH}', ''.join(f'{number}\n' for number in truth).encode())


def _picture(rng, size):
    """A JPEG with detail at every scale, the coarser the stronger, as photographs have it."""
    width, height = size
    pixels = np.zeros((height, width, 3))
    for scale in (1, 2, 4, 8, 16, 32, 64):
        noise = rng.integers(0, 256, (height // scale + 2, width // scale + 2, 3), dtype=np.uint8)
        pixels += scale ** 0.5 * np.asarray(Image.fromarray(noise).resize(size, Image.BICUBIC), float)
    pixels = (pixels - pixels.min()) / np.ptp(pixels) * 255
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, 'jpeg', quality=90)
    return buffer.getvalue()


def _create(target, mode='w'):
    where = {'fileobj': target} if isinstance(target, io.BytesIO) else {'name': target}
    return tarfile.open(mode=mode, format=tarfile.GNU_FORMAT, **where)


def _add(opened, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    opened.addfile(info, io.BytesIO(data))


def _meta(wnids):
    from scipy.io import savemat
    table = np.zeros((len(wnids), 1), dtype=[(name, object) for name in ('ILSVRC2012_ID', 'WNID', 'words',
                                                                         'num_children')])
    for row, wnid in enumerate(wnids):
        table[row, 0] = (float(row + 1), wnid, f'class {row}', 0.0)
    buffer = io.BytesIO()
    savemat(buffer, {'synsets': table})
    return buffer.getvalue()
