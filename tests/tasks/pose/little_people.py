"""Scenes of digits with their joints, in COCO's layout."""
from resnest.commands.prepare_scenes import main


def write(target, train=3, val=2):
    main(['--target-dir', str(target), '--train', str(train), '--val', str(val), '--seed', '5'])
    return target
