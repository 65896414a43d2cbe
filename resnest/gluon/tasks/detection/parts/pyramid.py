"""The feature pyramid (Lin et al., 2017, https://arxiv.org/abs/1612.03144, section 3)."""
from mxnet.gluon import HybridBlock

from ..geometry.conventions import CONVENTIONS
from .convolution import Convolution

__all__ = ['FeaturePyramid', 'STRIDES']

STRIDES = (4, 8, 16, 32, 64)        # of p2 to p6


class FeaturePyramid(HybridBlock):
    """Takes the four stages' maps, returns ``(p2, p3, p4, p5, p6)``, each ``(N, channels, H / stride, W / stride)``.

    Each stage goes through a 1×1 convolution, gets the level above it at twice the size (nearest neighbour) added, and
    goes through a 3×3 one; there is no ReLU. p6 is every other position of p5, or a 3×3 one with
    stride 2 of what p5 is made of, where the ``convention`` has a ``convolution_on_top``. A level at twice its size is
    cut to the one below it where images are not ``padded``. The other parameters are the stages' channels, and a
    normalization, or biases without a ``norm_layer``.
    """

    def __init__(self, in_channels, channels=256, convention=CONVENTIONS['detectron2'], norm_layer=None,
                 norm_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        self._numbers, self._fit = range(2, 2 + len(in_channels)), convention.padded
        rest = dict(norm_layer=norm_layer, norm_kwargs=norm_kwargs, relu=False)
        with self.name_scope():
            for number, given in zip(self._numbers, in_channels):
                setattr(self, f'lateral{number}', Convolution(channels, 1, given, **rest))
                setattr(self, f'output{number}', Convolution(channels, 3, channels, **rest))
            self.top = Convolution(channels, 3, channels, strides=2, **rest) \
                if convention.convolution_on_top else None

    def hybrid_forward(self, F, *stages):
        levels, above = [], None
        for number, stage in reversed([*zip(self._numbers, stages)]):
            merged = getattr(self, f'lateral{number}')(stage)
            if above is not None:
                above = F.UpSampling(above, scale=2, sample_type='nearest')
                merged = merged + (above if self._fit else F.slice_like(above, merged, axes=(2, 3)))
            else:
                last = merged
            levels.insert(0, getattr(self, f'output{number}')(merged))
            above = merged
        levels.append(F.Pooling(levels[-1], kernel=(1, 1), stride=(2, 2), pool_type='max') if self.top is None
                      else self.top(last))
        return tuple(levels)
