"""What comes before the stages: a 7×7 convolution (He et al., 2016, https://arxiv.org/abs/1512.03385), three of 3×3
(ResNet-D; He et al., 2019, https://arxiv.org/abs/1812.01187, section 4), or one of 3×3 and no pooling (AnyNet;
Radosavovic et al., 2020, https://arxiv.org/abs/2003.13678, section 3.2)."""
from mxnet.gluon import nn

from resnest.errors import InputError
from resnest.reading import one_line

__all__ = ['STEMS', 'normalization']


def _deep_stem(in_channels, channels, norm_layer, norm_kwargs):
    """Three 3×3 convolutions, the first with stride 2, the first two with half the channels (ResNet-D)."""
    stem = nn.HybridSequential()
    for out, strides in ((channels // 2, 2), (channels // 2, 1), (channels, 1)):
        if len(stem):
            stem.add(normalization(in_channels, norm_layer, norm_kwargs), nn.Activation('relu'))
        stem.add(nn.Conv2D(out, 3, strides, padding=1, use_bias=False, in_channels=in_channels))
        in_channels = out
    return stem


def _plain_stem(in_channels, channels, *_):
    """A 7×7 convolution with stride 2."""
    return nn.Conv2D(channels, 7, 2, padding=3, use_bias=False, in_channels=in_channels)


def _single_stem(in_channels, channels, *_):
    """A 3×3 convolution with stride 2."""
    return nn.Conv2D(channels, 3, 2, padding=1, use_bias=False, in_channels=in_channels)


def normalization(channels, norm_layer, norm_kwargs):
    try:
        return norm_layer(in_channels=channels, **norm_kwargs)
    except (TypeError, AssertionError) as error:
        raise InputError(f'norm_layer does not take norm_kwargs: {one_line(error)}') from None


STEMS = {'deep': _deep_stem, 'plain': _plain_stem, 'single': _single_stem}
