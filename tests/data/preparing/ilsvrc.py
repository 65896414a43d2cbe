"""Makes ILSVRC2012's three files, small, in the official layout."""
import io
import tarfile

import numpy as np
from PIL import Image
from scipy.io import savemat

TRAIN, VAL, DEVKIT = 'ILSVRC2012_img_train.tar', 'ILSVRC2012_img_val.tar', 'ILSVRC2012_devkit_t12.tar.gz'
TRUTH = 'ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt'
META = 'ILSVRC2012_devkit_t12/data/meta.mat'


def picture(rng, kind='jpeg', mode='RGB', edge=24):
    """Encoded bytes of a random picture, of random size."""
    width, height = rng.integers(edge, 2 * edge, 2)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)).resize(
        (int(width), int(height))).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def pack(path, members, mode='w'):
    """Write a tar of (name, bytes) or (TarInfo, bytes)."""
    with tarfile.open(path, mode, format=tarfile.GNU_FORMAT) as opened:
        for member, data in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))


def packed(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=tarfile.GNU_FORMAT) as opened:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def meta(wnids):
    """meta.mat: the classes in an order of their own, then ancestors, whose IDs are above."""
    fields = ['ILSVRC2012_ID', 'WNID', 'words', 'gloss', 'num_children', 'children', 'wordnet_height',
              'num_train_images']
    table = np.zeros((len(wnids) + 3, 1), dtype=[(name, object) for name in fields])
    for row, wnid in enumerate([*wnids, 'n00001740', 'n00002137', 'n00001930']):
        children = [] if row < len(wnids) else [1, 2]
        table[row, 0] = (float(row + 1), wnid, f'words of {wnid}, more', 'a gloss', float(len(children)),
                         np.array(children, float), 3.0, 10.0)
    buffer = io.BytesIO()
    savemat(buffer, {'synsets': table})
    return buffer.getvalue()


def devkit(path, wnids, truth):
    pack(path, [('ILSVRC2012_devkit_t12/readme.txt', b'text'), (META, meta(wnids)),
                (TRUTH, ''.join(f'{number}\n' for number in truth).encode())], 'w:gz')


def make(folder, classes=4, train=7, val=9, seed=0):
    """The three files; returns {split: {name of the image: (bytes, WNID)}}. One image is a PNG and one CMYK."""
    rng = np.random.default_rng(seed)
    # As in the official files, neither the IDs nor the class tars come in the order of the WNIDs.
    wnids = [f'n{number:08d}' for number in rng.choice(99_999_999, classes, replace=False)]
    images = {wnid: [(f'{wnid}_{number}.JPEG', picture(rng)) for number in range(train + row)]
              for row, wnid in enumerate(wnids)}
    images[wnids[0]][1] = (images[wnids[0]][1][0], picture(rng, 'png'))
    images[wnids[1]][2] = (images[wnids[1]][2][0], picture(rng, 'jpeg', 'CMYK'))
    truth = rng.integers(1, classes + 1, val).tolist()
    validation = [(f'ILSVRC2012_val_{number + 1:08d}.JPEG', picture(rng)) for number in range(val)]
    pack(folder / TRAIN, [(f'{wnid}.tar', packed(images[wnid])) for wnid in reversed(wnids)])
    pack(folder / VAL, [validation[number] for number in rng.permutation(val)])
    devkit(folder / DEVKIT, wnids, truth)
    return {'train': {name: (data, wnid) for wnid, members in images.items() for name, data in members},
            'val': {name: (data, wnids[number - 1]) for (name, data), number in zip(validation, truth)}}
