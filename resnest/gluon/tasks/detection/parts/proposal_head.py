"""The head of the region proposal network (Ren et al., 2015, https://arxiv.org/abs/1506.01497, section 3.1)."""
import mxnet as mx
from mxnet.gluon import HybridBlock, nn

__all__ = ['ProposalHead']


class ProposalHead(HybridBlock):
    """Takes a level ``(N, in_channels, h, w)``; returns logits ``(N, h w A)`` and differences ``(N, h w A, 4)``.

    A 3×3 convolution, ReLU, and a 1×1 convolution for each; the order is that of the anchors: row, column, anchor. All
    levels share it. ``anchors`` is the number of anchors at a position, A. All weights start from a normal distribution
    as narrow as the paper's.
    """

    def __init__(self, in_channels, anchors, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            small = mx.init.Normal(0.01)
            self.conv = nn.Conv2D(in_channels, 3, padding=1, in_channels=in_channels, weight_initializer=small)
            self.relu = nn.Activation('relu')
            self.logits = nn.Conv2D(anchors, 1, in_channels=in_channels, weight_initializer=small)
            self.deltas = nn.Conv2D(4 * anchors, 1, in_channels=in_channels, weight_initializer=small)

    def hybrid_forward(self, F, x):
        logits, deltas = self.maps(F, x)
        return F.reshape(logits, (0, -1)), F.reshape(deltas, (0, -1, 4))

    def maps(self, F, x):
        """Logits ``(N, h, w, A)`` and differences ``(N, h, w, 4 A)``."""
        x = self.relu(self.conv(x))
        return [F.transpose(each, (0, 2, 3, 1)) for each in (self.logits(x), self.deltas(x))]
