"""The head that classifies a region and refines its box (Girshick, 2015, https://arxiv.org/abs/1504.08083; with
convolutions: Wu and He, 2018, https://arxiv.org/abs/1803.08494)."""
import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from .convolution import Convolution

__all__ = ['BoxHead']


class BoxHead(HybridBlock):
    """Takes pooled regions ``(R, in_channels, side, side)``; returns logits ``(R, classes + 1)``, the background last,
    and differences ``(R, 4 K)``: for each class, or one for all of them (``agnostic``).

    ``convolutions`` 3×3 ones, with a normalization or a bias, and ``dense`` fully connected layers come first, each
    with its ReLU. The last layers' weights start from normal distributions as narrow as the paper's.
    """

    def __init__(self, in_channels, side, classes, convolutions=4, dense=1, width=1024, agnostic=False,
                 norm_layer=None, norm_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        self.classes, self.in_channels = classes, in_channels
        with self.name_scope():
            self.body = nn.HybridSequential()
            for _ in range(convolutions):
                self.body.add(Convolution(in_channels, 3, in_channels, norm_layer, norm_kwargs))
            units = in_channels * side * side
            for _ in range(dense):
                self.body.add(nn.Dense(width, 'relu', in_units=units))
                units = width
            self.logits = nn.Dense(classes + 1, in_units=units, weight_initializer=mx.init.Normal(0.01))
            self.deltas = nn.Dense(4 if agnostic else 4 * classes, in_units=units,
                                   weight_initializer=mx.init.Normal(0.001))

    def hybrid_forward(self, F, x):
        x = self.body(x)
        return self.logits(x), self.deltas(x)
