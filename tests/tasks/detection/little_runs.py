"""Runs of a small detector on scenes of digits, in this process."""
from sklearn.datasets import load_digits

from resnest.commands.detection import train
from resnest.gluon.data.preparing.digit_scenes import write_scenes

from ...conftest import run_here

NETWORK = ('base=resnest14', 'bottleneck_width=8', 'stem_width=8', 'channels=16', 'box_units=32', 'box_convolutions=0',
           'mask_convolutions=1', 'short_side=64', 'long_side=96', 'anchor_sizes=[8,16,32,64,96]', 'proposals=20',
           'detections=10')
RECIPE = ('--model', 'mask_rcnn_fpn_resnest50', '--model-options', *NETWORK, '--batch-size', 4, '--regions', 16,
          '--proposals', 30, '--proposals-before', 100, '--anchors', 32, '--pad-multiple', 96, '--num-epochs', 2,
          '--no-cuda', '-j', 1)


def little_scenes(root, train=8, val=3):
    digits = load_digits()
    parts = {'train': slice(1500), 'val': slice(1500, None)}
    write_scenes(root, {split: digits.images[part] for split, part in parts.items()},
                 {split: digits.target[part] for split, part in parts.items()}, {'train': train, 'val': val})
    return root


def run_train(data, folder, *words):
    return run_here(train.main, 'train_detection.py', '--data-dir', data, '--save-dir', folder, *RECIPE, *words)
