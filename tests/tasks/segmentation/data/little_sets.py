"""Data sets of a few small pictures, in every layout, written for a test."""
import numpy as np
from PIL import Image

VALUES = {'ade20k': range(151), 'cityscapes': range(34), 'pascal_voc': (*range(21), 255), 'own': (*range(5), 255)}


def save(path, pixels, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(bytes(range(256)) * 3)
    image.save(path)


def draw(number, kind='own', size=(20, 24)):
    """``(image, map)`` number so and so: blocks of a few pixels, the values of a data set."""
    rng = np.random.default_rng(number)
    blocks = rng.choice(VALUES[kind], (size[0] // 4, size[1] // 4)).astype(np.uint8)
    blocks[0, :2] = VALUES[kind][0], VALUES[kind][-1]
    values = blocks.repeat(4, axis=0).repeat(4, axis=1)
    return rng.integers(0, 256, (*size, 3), dtype=np.uint8), values


def write(root, images, maps, counts=None, kind='own', palette=False):
    """Write the pairs of paths below ``root`` that two templates with ``{number}`` name; returns the pairs drawn."""
    drawn = []
    for number in range(*(counts or (3,))):
        image, values = draw(number, kind)
        save(root / images.format(number=number), image)
        save(root / maps.format(number=number), values, palette)
        drawn.append((image, values))
    return drawn


def ade20k(root):
    return {split: write(root, f'images/{name}/ADE_{{number}}.png', f'annotations/{name}/ADE_{{number}}.png', counts,
                         'ade20k') for split, name, counts in (('train', 'training', (3,)),
                                                               ('val', 'validation', (3, 5)))}


def cityscapes(root):
    found = {}
    for split, counts in (('train', (3,)), ('val', (3, 5))):
        name = f'{split}/ulm/ulm_{{number}}'
        for kind in ('instanceIds', 'color', 'labelIds'):
            found[split] = write(root, f'leftImg8bit/{name}_leftImg8bit.png', f'gtFine/{name}_gtFine_{kind}.png',
                                 counts, 'cityscapes')
    return found


def pascal_voc(root):
    drawn = write(root, 'JPEGImages/2007_{number}.png', 'SegmentationClass/2007_{number}.png', (5,), 'pascal_voc', True)
    (root / 'SegmentationClass/2007_9.png').write_bytes(b'')      # in no list, and so never read
    (root / 'JPEGImages/2007_8.png').write_bytes(b'')
    lists = root / 'ImageSets/Segmentation'
    lists.mkdir(parents=True)
    (lists / 'train.txt').write_text('2007_2\n2007_0\n')
    (lists / 'val.txt').write_text('2007_1\n2007_3\n2007_4\n')
    return {'train': [drawn[2], drawn[0]], 'val': [drawn[1], drawn[3], drawn[4]]}
