"""Mixup and CutMix in a batch, as a recipe has them."""
import mxnet as mx
import numpy as np

from resnest.gluon.streams import BLEND, generator

from . import cutmix, mixup

__all__ = ['blend', 'takes_cutmix']


def takes_cutmix(config, epoch, indices):
    """Whether a batch gets CutMix, and not mixup: with both in the recipe, a draw of its first sample decides."""
    return config.cutmix and (not config.mixup or generator(BLEND, config.seed, epoch, indices[0]).random() < 0.5)


def blend(config, epoch, indices, images, device):
    """``(images, shares)`` of a batch on the device: of which type and shape they are depends on the recipe alone, so
    that the network and the loss are traced once.

    ``images`` is a NumPy array of uint8 ``(N, H, W, 3)``; without mixup they stay uint8, with it they become float32.
    ``shares`` ``(N,)`` tells how much of each is its own image, the rest being the one at its place in the reversed
    batch; in an epoch without mixing they are one, which changes nothing.
    """
    shares, mixing = np.ones(len(images), dtype=np.float32), config.mixes(epoch)
    cut = mixing and takes_cutmix(config, epoch, indices)
    if cut:
        size = images.shape[1:3]
        boxes = cutmix.draw(config.seed, epoch, indices, *size, config.cutmix_alpha, config.mixup_mode)
        images, shares = cutmix.paste(images, boxes), cutmix.shares(boxes, *size)
    elif mixing:
        shares = mixup.draw(config.seed, epoch, indices, config.mixup_alpha, config.mixup_mode)
    x, shares = mx.nd.array(images, ctx=device, dtype='uint8'), mx.nd.array(shares, ctx=device)
    if config.mixup:
        x = mixup.mix(x, shares) if mixing and not cut else x.astype('float32')
    return x, shares
