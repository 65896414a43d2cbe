"""Dropout (Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html) that heeds mxnet's seed on GPUs.

cuDNN's keeps a state of its own that no later seed changes (https://github.com/apache/mxnet/issues/15662): masks would
not be those of the seed, the step and the rank, nor the same after a resume.
"""
from mxnet.gluon import HybridBlock

__all__ = ['Dropout', 'drop']


def drop(F, x, prob):
    """Values of ``x`` are 0 with probability ``prob``, otherwise divided by ``1 - prob``; ``x`` outside of training."""
    return F.Dropout(x, p=prob, cudnn_off=True)


class Dropout(HybridBlock):
    """Drops single values of its input, of any shape, while training; the identity in evaluation."""

    def __init__(self, prob, **kwargs):
        super().__init__(**kwargs)
        self.prob = prob

    def hybrid_forward(self, F, x):
        return drop(F, x, self.prob) if self.prob else x

    def __repr__(self):
        return f'Dropout(prob={self.prob:g})'
