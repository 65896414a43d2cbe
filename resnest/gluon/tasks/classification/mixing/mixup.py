"""Mixup (Zhang et al., 2018; section 4.2): each image is mixed with the one at its place in the reversed batch."""
import mxnet as mx
import numpy as np

from resnest.gluon.streams import MIXUP, generator

__all__ = ['draw', 'mix']


def draw(seed, epoch, indices, alpha=0.2, mode='sample'):
    """The share of its own image in each mixed one: float32 ``(N,)``, from Beta(alpha, alpha).

    A sample's share depends on (seed, epoch, its index in the data) alone. With ``mode='batch'`` all samples have
    the first one's.
    """
    if mode == 'batch':
        return np.full(len(indices), draw(seed, epoch, indices[:1], alpha)[0])
    return np.array([generator(MIXUP, seed, epoch, index).beta(alpha, alpha) for index in indices], dtype=np.float32)


def mix(images, lam):
    """``lam * images + (1 - lam) * images[::-1]``, sample by sample, on the images' device.

    ``images`` is an NDArray ``(N, H, W, C)`` of uint8 or float32, ``lam`` one of float32 ``(N,)``; returns float32
    of the images' shape. The labels are mixed in the loss (:class:`.losses.SmoothedCrossEntropy`).
    """
    # As a product with a matrix: on a CPU a tenth of the time of the broadcast products.
    shares = mx.nd.diag(lam) + mx.nd.diag(1 - lam).flip(axis=1)
    flat = images.astype('float32', copy=False).reshape((len(images), -1))
    return mx.nd.dot(shares, flat).reshape(images.shape)
