"""Blocks of colour as a data set of segmentation, and runs of a small network on it, in this process."""
import numpy as np
from PIL import Image

from resnest.commands.segmentation import segment, train, verify

from ...conftest import run_here

COLOURS = np.array([(40, 40, 40), (220, 60, 60), (60, 220, 60)], dtype=np.uint8)
NETWORK = ('base=resnest14', 'bottleneck_width=8', 'stem_width=8', 'head_channels=8', 'output_stride=16')
RECIPE = ('--model-options', *NETWORK, '--crop-size', 32, '--base-size', 48, '--scale', 0.8, 1.25, '--batch-size', 4,
          '--num-epochs', 2, '--lr', 0.02, '--head-lr-factor', 2, '--no-cuda', '-j', 1)


def write_blocks(root, train=8, val=3):
    """Pictures of 36 to 48 pixels with blocks of two colours on dark ground, beside their maps."""
    rng = np.random.default_rng(0)
    for split, count in (('train', train), ('val', val)):
        for number in range(count):
            height, width = rng.integers(36, 49, 2)
            labels = np.zeros((height, width), dtype=np.uint8)
            for label in (1, 2):
                top, left = rng.integers(0, 20, 2)
                labels[top:top + 16, left:left + 16] = label
            labels[0, 0] = 255
            noise = rng.integers(-30, 31, (height, width, 3))
            image = (COLOURS[labels % 255] + noise).clip(0, 255).astype(np.uint8)
            for folder, array in (('images', image), ('maps', labels)):
                path = root / folder / split / f'{number}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(path)
    (root / 'classes.txt').write_text('ground\nred\ngreen\n')
    return root


def run_train(data, folder, *words):
    return run_here(train.main, 'train_segmentation.py', '--data-dir', data, '--save-dir', folder, *RECIPE, *words)


def run_verify(*words):
    return run_here(verify.main, 'verify_segmentation.py', '--no-cuda', *words)


def run_segment(*words):
    return run_here(segment.main, 'segment.py', '--no-cuda', *words)
