"""Scenes of digits with their joints, in COCO's layout, and a small network for them."""
from resnest.commands.prepare_scenes import main

SMALL = ['base=resnest14', 'planes=[8,8,16,16]', 'stem_width=4', 'deconv_filters=[8,8,8]', 'height=64', 'width=64']


def write(target, train=3, val=2):
    main(['--target-dir', str(target), '--train', str(train), '--val', str(val), '--seed', '5'])
    return target
