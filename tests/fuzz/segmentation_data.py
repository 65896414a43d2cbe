"""Damaged images, maps, names of classes and listings of segmentation data in every layout, behind the loader."""
import numpy as np

from resnest.errors import InputError
from resnest.gluon.tasks.segmentation.data import CentralCrop, MapLoader, RandomCrop, Whole, open_maps

from ..tasks.segmentation.data import little_sets
from .images import damaged_png
from .mutations import damaged_bytes, hostile_file

TRANSFORMS = [RandomCrop(16, 24), RandomCrop(40, 8, jitter=0.4), CentralCrop(12), Whole()]


def own(root):
    for split in ('train', 'val'):
        little_sets.write(root, f'images/{split}/{{number}}.png', f'maps/{split}/{{number}}.png', palette=True)
    (root / 'classes.txt').write_text('ground\ntree\nhouse\nroad\nsky\n')


def case(rng, folder):
    kind = str(rng.choice(['ade20k', 'cityscapes', 'pascal_voc', 'own', 'own']))
    own(folder) if kind == 'own' else getattr(little_sets, kind)(folder)
    files = sorted(path for path in folder.rglob('*') if path.is_file())
    for path in rng.choice(files, int(rng.integers(1, 3)), replace=False):
        _damage(rng, path)
    for records in open_maps(folder):
        for transform in TRANSFORMS:
            _read(rng, records, transform)


def _damage(rng, path):
    change = rng.random()
    if change < 0.05:
        path.unlink()
        hostile_file(rng, path)
    elif change < 0.1:
        path.unlink()
    elif change < 0.15:
        path.rename(path.with_name(str(rng.choice(['a.png', '9.bmp', 'x\ny.png', '{split}.png', '.png', 'a.heic']))))
    elif path.suffix == '.png' and path.stat().st_size and change < 0.7:
        path.write_bytes(damaged_png(rng, path.read_bytes()))
    else:
        path.write_bytes(damaged_bytes(rng, path.read_bytes(), 2))


def _read(rng, records, transform):
    """Every record alone: its labels are those of the legend, or one line says what is wrong with which file."""
    workers, refused = int(rng.choice([0, 2])), []
    for index in range(len(records)):
        try:
            (images, labels), = MapLoader(records, transform, [[index]], workers)
        except InputError as error:
            refused.append((error, records.where(index), records.where_map(index)))
            continue
        assert images.shape == (*labels.shape, 3)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
        assert -1 <= labels.min() <= labels.max() < len(records.legend)
    for error, *names in refused:
        assert any(name in str(error) for name in names), f'no name in {error}'
        assert '\n' not in str(error), 'more than a line'
    if refused:
        raise refused[0][0]
