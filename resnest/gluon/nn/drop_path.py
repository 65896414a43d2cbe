"""Stochastic depth (Huang et al., 2016, https://arxiv.org/abs/1603.09382): residual branches are left out at random."""
from .dropblock import Dropping
from .dropout import drop

__all__ = ['DropPath', 'path_probabilities']


class DropPath(Dropping):
    """Sets whole samples of ``(N, C, H, W)`` to zero while training; the identity in evaluation.

    Each sample is kept with probability ``1 - prob``, on its own, and divided by ``1 - prob`` then, so that what is
    expected does not change and evaluation needs no factor (the paper multiplies there instead). The mask is made from
    ``Dropout``, as :class:`.DropBlock`'s is: which mode it is counts when it runs, not when it was traced.

    Raises ValueError for a probability that is not in [0, 1).
    """

    def mask(self, F, x):
        ones = self.ones(F, x)
        for axis in (2, 3):
            ones = F.slice_axis(ones, axis=axis, begin=0, end=1)
        return drop(F, ones, self.prob)

    def __repr__(self):
        return f'DropPath(prob={self.prob:g})'


def path_probabilities(prob, blocks):
    """The probabilities of ``blocks`` blocks in a row: ``prob * l / blocks`` for the l-th, from 1 on (section 3)."""
    return [prob * number / blocks for number in range(1, blocks + 1)]
