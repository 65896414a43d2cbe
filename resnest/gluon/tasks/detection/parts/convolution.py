"""A convolution with what comes after it."""
from mxnet.gluon import HybridBlock, nn

__all__ = ['Convolution']


class Convolution(HybridBlock):
    """A padded convolution, its normalization or else a bias, and a ReLU unless told otherwise.

    Takes ``(N, in_channels, h, w)``, returns ``(N, channels, h / strides, w / strides)``. Without a ``norm_layer``
    there is a bias.
    """

    def __init__(self, channels, kernel, in_channels, norm_layer=None, norm_kwargs=None, relu=True, strides=1,
                 **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.conv = nn.Conv2D(channels, kernel, strides, padding=kernel // 2, use_bias=norm_layer is None,
                                  in_channels=in_channels)
            self.norm = norm_layer(in_channels=channels, **(norm_kwargs or {})) if norm_layer else None
            self.relu = nn.Activation('relu') if relu else None

    def hybrid_forward(self, F, x):
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return x if self.relu is None else self.relu(x)
