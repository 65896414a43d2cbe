"""The head that draws a mask for each class (He et al., 2017, https://arxiv.org/abs/1703.06870, figure 4)."""
import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from .convolution import Convolution

__all__ = ['MaskHead']


class MaskHead(HybridBlock):
    """Takes pooled regions ``(R, in_channels, side, side)``, returns logits ``(R, classes, 2 side, 2 side)``.

    ``convolutions`` 3×3 ones, with a normalization or a bias, a transposed one to twice the size, and 1×1 to the
    classes.
    """

    def __init__(self, in_channels, classes, convolutions=4, norm_layer=None, norm_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.body = nn.HybridSequential()
            for _ in range(convolutions):
                self.body.add(Convolution(in_channels, 3, in_channels, norm_layer, norm_kwargs))
            self.deconv = nn.Conv2DTranspose(in_channels, 2, strides=2, activation='relu', in_channels=in_channels)
            self.logits = nn.Conv2D(classes, 1, in_channels=in_channels, weight_initializer=mx.init.Normal(0.001))

    def hybrid_forward(self, F, x):
        return self.logits(self.deconv(self.body(x)))
