"""Random numbers that follow from (stream, seed, numbers) alone, and no two streams that coincide.

Whatever draws has a stream of its own, so that its numbers say nothing about those of another use: the constants below,
each with the numbers that follow the seed.
"""
import struct

import numpy as np

from resnest.errors import InputError

__all__ = ['AUGMENTATION', 'BLEND', 'BOOTSTRAP', 'CUTMIX', 'DESIGNS', 'MIXUP', 'ORDER', 'PREPARING', 'REGIONS',
           'SCENES', 'STEP', 'generator']

ORDER = 1           # of the samples of an epoch: epoch; with --sharding local, rank
AUGMENTATION = 2    # of a sample: epoch, index of the sample
MIXUP = 3           # share of a sample: epoch, index of the sample
STEP = 4            # dropout and DropBlock in a step of training: number of the step, rank
PREPARING = 5       # order of the samples in the shards: number of the split
CUTMIX = 6          # box of a sample: epoch, index of the sample
BLEND = 7           # whether a batch gets mixup or CutMix: epoch, index of its first sample
REGIONS = 8         # which anchors and regions of a picture a detector learns from: epoch, index of the picture
SCENES = 16         # what a scene of digits shows: number of the split, number of the scene
DESIGNS = 17        # networks of a design space: number of the space, number of the batch
BOOTSTRAP = 18      # which networks a resampling of a space has: number of the space


def generator(stream, seed, *numbers):
    """A NumPy Generator for one use: equal for equal arguments, independent for any others.

    ``stream`` is one of the constants of this module; ``seed`` and ``numbers`` are whole numbers from 0 to 2^64 - 1.
    Raises InputError for a seed beyond.
    """
    # NumPy pads what seeds a generator with zeros: (a, b) and (a, b, 0) would be one. Here each number has 8 bytes, and
    # how many there are is told first.
    if not 0 <= seed < 1 << 64:
        raise InputError(f'a seed must be from 0 to {(1 << 64) - 1}, got {seed}')
    packed = struct.pack(f'<{3 + len(numbers)}Q', stream, len(numbers), seed, *numbers)
    return np.random.default_rng(np.frombuffer(packed, dtype='<u4'))
