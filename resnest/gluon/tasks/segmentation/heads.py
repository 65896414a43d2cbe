"""The heads: DeepLabV3's, with atrous spatial pyramid pooling, and a plain FCN's. Names of parameters are gluoncv's."""
from mxnet.gluon import HybridBlock, nn
from mxnet.gluon.contrib.nn import HybridConcurrent

from resnest.gluon.nn import Dropout

__all__ = ['DeepLabHead', 'FCNHead']


class FCNHead(HybridBlock):
    """3×3 convolution to a quarter of the channels, dropout, 1×1 to the classes (Long et al., 2015).

    Takes ``(N, in_channels, h, w)``, returns logits ``(N, classes, h, w)``.
    """

    def __init__(self, in_channels, classes, norm_layer=nn.BatchNorm, norm_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.block = _classifier(in_channels, in_channels // 4, classes, norm_layer, norm_kwargs or {})

    def hybrid_forward(self, F, x):
        return self.block(x)


class DeepLabHead(HybridBlock):
    """ASPP, 3×3 convolution, dropout, 1×1 to the classes (Chen et al., 2017, https://arxiv.org/abs/1706.05587).

    Takes ``(N, in_channels, h, w)``, returns logits ``(N, classes, h, w)``.
    """

    def __init__(self, in_channels, classes, rates=(12, 24, 36), channels=256, norm_layer=nn.BatchNorm,
                 norm_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        norm_kwargs = norm_kwargs or {}
        with self.name_scope():
            self.aspp = ASPP(in_channels, rates, channels, norm_layer, norm_kwargs)
            self.block = _classifier(channels, channels, classes, norm_layer, norm_kwargs)

    def hybrid_forward(self, F, x):
        return self.block(self.aspp(x))


class ASPP(HybridBlock):
    """A 1×1 convolution, three 3×3 of different dilations and the mean of the image, side by side, and a 1×1 of all.

    Takes ``(N, in_channels, h, w)``, returns ``(N, channels, h, w)``.
    """

    def __init__(self, in_channels, rates, channels, norm_layer, norm_kwargs, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.concurent = HybridConcurrent(axis=1)       # gluoncv's spelling
            self.concurent.add(_convolution(in_channels, channels, 1, 1, norm_layer, norm_kwargs))
            for rate in rates:
                self.concurent.add(_convolution(in_channels, channels, 3, rate, norm_layer, norm_kwargs))
            self.concurent.add(ImagePooling(in_channels, channels, norm_layer, norm_kwargs))
            self.project = _convolution((2 + len(rates)) * channels, channels, 1, 1, norm_layer, norm_kwargs)
            self.project.add(Dropout(0.5))

    def hybrid_forward(self, F, x):
        return self.project(self.concurent(x))


class ImagePooling(HybridBlock):
    """The mean over all positions, through a 1×1 convolution, at each position again."""

    def __init__(self, in_channels, channels, norm_layer, norm_kwargs, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.gap = nn.HybridSequential()
            self.gap.add(nn.GlobalAvgPool2D(), *_layers(in_channels, channels, 1, 1, norm_layer, norm_kwargs))

    def hybrid_forward(self, F, x):
        return F.broadcast_like(self.gap(x), x, lhs_axes=(2, 3), rhs_axes=(2, 3))


def _layers(in_channels, channels, kernel, dilation, norm_layer, norm_kwargs):
    """A convolution that keeps height and width, its normalization and a ReLU."""
    return (nn.Conv2D(channels, kernel, padding=dilation * (kernel // 2), dilation=dilation, use_bias=False,
                      in_channels=in_channels),
            norm_layer(in_channels=channels, **norm_kwargs), nn.Activation('relu'))


def _convolution(*args):
    block = nn.HybridSequential()
    block.add(*_layers(*args))
    return block


def _classifier(in_channels, channels, classes, norm_layer, norm_kwargs):
    block = _convolution(in_channels, channels, 3, 1, norm_layer, norm_kwargs)
    block.add(Dropout(0.1), nn.Conv2D(classes, 1, in_channels=channels))
    return block
