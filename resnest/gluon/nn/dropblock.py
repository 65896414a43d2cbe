"""DropBlock (Ghiasi et al., 2018, https://arxiv.org/abs/1810.12890).

While training, square blocks of a feature map are set to zero, the same ones in all channels of a
sample (section 3.1 of the paper allows it; a mask per channel would cost 15 % of a training step).
"""
import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from resnest.gluon.mxnet_private import forget_trace

from .dropout import drop

__all__ = ['DropBlock', 'Dropping', 'set_drop_probability']


class Dropping(HybridBlock):
    """What multiplies ``(N, C, H, W)`` by a random mask while training; the identity where ``prob`` is 0.

    Derive from it and give it ``mask(F, x)``: float32, ``(N, 1, H, W)`` or ``(N, 1, 1, 1)``. Raises ValueError for a
    probability that is not in [0, 1).
    """

    library = 'masked_map'

    def __init__(self, prob, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= prob < 1:
            raise ValueError(f'{type(self).__name__} probability must be in [0, 1), got {prob}')
        self.prob = prob
        self._dtype = 'float32'
        self.native = False     # use_native sets it

    def cast(self, dtype):
        self.native = self.native and np.dtype(dtype) == np.float32
        self._dtype = dtype
        super().cast(dtype)

    def hybrid_forward(self, F, x):
        if self.prob == 0:
            return x
        mask = F.cast(self.mask(F, x), self._dtype)
        if self.native:
            return F.masked_map(x, mask)
        # mxnet has the device of the outermost call's data be the current one while it traces.
        if mx.current_context().device_type == 'gpu':
            return F.broadcast_mul(x, F.BlockGrad(mask))
        # A full-size mask: the gradient of broadcast_mul costs ten times as much on a CPU. A GPU has no room for it.
        return x * F.BlockGrad(F.broadcast_like(mask, x))

    def ones(self, F, x):
        """float32 ones ``(N, 1, H, W)``, to make a mask from."""
        if self.native:
            return F.ones_of_map(x)
        return F.cast(F.ones_like(F.slice_axis(x, axis=1, begin=0, end=1)), 'float32')


class DropBlock(Dropping):
    """Zeroes blocks of ``block_size`` × ``block_size`` positions; the identity in evaluation.

    A block may start at any of the positions that let it touch the map, so each position is kept
    with probability exactly ``1 - prob``, whatever the size of the map, and what is kept is divided
    by ``1 - prob``. Expects and returns ``(N, C, H, W)``.

    The mask is made from ``Dropout``, which asks for the mode each time it runs: a hybridized network
    drops in training and only there, whichever mode it was traced in.

    Parameters
    ----------
    prob : float
        Share of the positions to drop, 0 <= prob < 1. Use :func:`set_drop_probability` to change it.
    block_size : int
        Odd side of a block; the official networks use 3.
    """

    def __init__(self, prob, block_size=3, **kwargs):
        super().__init__(prob, **kwargs)
        if block_size < 1 or block_size % 2 == 0:
            raise ValueError(f'DropBlock needs an odd block size, got {block_size}')
        self.block_size = block_size

    def mask(self, F, x):
        area = self.block_size ** 2
        seed_prob = 1 - (1 - self.prob) ** (1 / area)     # a position is kept when none of `area` seeds fell
        margin = self.block_size // 2
        ones = F.pad(self.ones(F, x), mode='constant', constant_value=1, pad_width=(0, 0, 0, 0) + (margin,) * 4)
        seeds = drop(F, ones, seed_prob)                  # 0 or 1 / (1 - seed_prob); all 1 in evaluation
        kept = -F.Pooling(-seeds, kernel=(self.block_size,) * 2, pool_type='max')   # 0 where a seed is near
        return kept ** area                               # (1 / (1 - seed_prob)) ** area = 1 / (1 - prob)

    def __repr__(self):
        return f'DropBlock(prob={self.prob}, block_size={self.block_size})'


def set_drop_probability(net, prob):
    """Set the probability of every :class:`DropBlock` in ``net`` and have the network traced again.

    Call it on the outermost block that is hybridized. Returns the number of DropBlocks.
    """
    if not 0 <= prob < 1:
        raise ValueError(f'DropBlock probability must be in [0, 1), got {prob}')
    blocks = []
    net.apply(blocks.append)
    dropping = [block for block in blocks if isinstance(block, DropBlock)]
    if any(block.prob != prob for block in dropping):
        for block in dropping:
            block.prob = prob
        forget_trace(net)
    return len(dropping)
