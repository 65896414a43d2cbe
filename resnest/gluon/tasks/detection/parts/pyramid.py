"""The feature pyramid (Lin et al., 2017, https://arxiv.org/abs/1612.03144, section 3)."""
from mxnet.gluon import HybridBlock

from .convolution import Convolution

__all__ = ['FeaturePyramid', 'STRIDES', 'WIDTH']

WIDTH = 256
STRIDES = (4, 8, 16, 32, 64)        # of p2 to p6


class FeaturePyramid(HybridBlock):
    """Takes the four stages' maps, returns ``(p2, p3, p4, p5, p6)``, each ``(N, 256, H / stride, W / stride)``.

    Each stage goes through a 1×1 convolution, gets the level above it at twice the size (nearest neighbour) added, and
    goes through a 3×3 one; there is no ReLU. p6 is every other position of p5. Height and width of the image must be
    multiples of 32. Parameters: the stages' channels, and a normalization, or biases without a ``norm_layer``.
    """

    def __init__(self, in_channels, norm_layer=None, norm_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        self._numbers = range(2, 2 + len(in_channels))
        rest = dict(norm_layer=norm_layer, norm_kwargs=norm_kwargs, relu=False)
        with self.name_scope():
            for number, channels in zip(self._numbers, in_channels):
                setattr(self, f'lateral{number}', Convolution(WIDTH, 1, channels, **rest))
                setattr(self, f'output{number}', Convolution(WIDTH, 3, WIDTH, **rest))

    def hybrid_forward(self, F, *stages):
        levels, above = [], None
        for number, stage in reversed([*zip(self._numbers, stages)]):
            merged = getattr(self, f'lateral{number}')(stage)
            if above is not None:
                merged = merged + F.UpSampling(above, scale=2, sample_type='nearest')
            levels.insert(0, getattr(self, f'output{number}')(merged))
            above = merged
        levels.append(F.Pooling(levels[-1], kernel=(1, 1), stride=(2, 2), pool_type='max'))
        return tuple(levels)
