"""Stochastic depth (Huang et al., 2016, https://arxiv.org/abs/1603.09382): residual branches are left out at random."""
from mxnet.gluon import HybridBlock

__all__ = ['DropPath', 'path_probabilities']


class DropPath(HybridBlock):
    """Sets whole samples of ``(N, C, H, W)`` to zero while training; the identity in evaluation.

    Each sample is kept with probability ``1 - prob``, on its own, and divided by ``1 - prob`` then, so that what is
    expected does not change and evaluation needs no factor (the paper multiplies there instead). The mask is made from
    ``Dropout``, as :class:`.DropBlock`'s is: which mode it is counts when it runs, not when it was traced.

    Raises ValueError for a probability that is not in [0, 1).
    """

    def __init__(self, prob, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= prob < 1:
            raise ValueError(f'DropPath probability must be in [0, 1), got {prob}')
        self.prob = prob
        self._dtype = 'float32'

    def cast(self, dtype):
        self._dtype = dtype
        super().cast(dtype)

    def hybrid_forward(self, F, x):
        if self.prob == 0:
            return x
        first = x
        for axis in (1, 2, 3):
            first = F.slice_axis(first, axis=axis, begin=0, end=1)
        mask = F.cast(F.Dropout(F.cast(F.ones_like(first), 'float32'), p=self.prob), self._dtype)
        # A full-size mask behind BlockGrad: the gradient of broadcast_mul costs ten times as much on a CPU.
        return x * F.BlockGrad(F.broadcast_like(mask, x))

    def __repr__(self):
        return f'DropPath(prob={self.prob:g})'


def path_probabilities(prob, blocks):
    """The probabilities of ``blocks`` blocks in a row: ``prob * l / blocks`` for the l-th, from 1 on (section 3)."""
    return [prob * number / blocks for number in range(1, blocks + 1)]
