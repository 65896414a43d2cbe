"""Selective kernels (Li et al., 2019, https://arxiv.org/abs/1903.06586, section 3.1), as timm has them."""
from mxnet.gluon import HybridBlock, nn

from .split_attention import softmax_over_splits, weighted_sum
from .squeeze_excitation import rounded

__all__ = ['SelectiveKernelConv']

PATHS = 2
REDUCTION = 16
LEAST = 0.9


class SelectiveKernelConv(HybridBlock):
    """A 3×3 convolution and one that is dilated, weighted channel by channel.

    Takes ``x``: ``(N, in_channels, H, W)``, returns ``(N, channels, H', W')``. The paths ``u1`` and ``u2`` are
    ``relu(bn(conv(x)))`` of their own convolutions, of dilation 1 and 2 times ``dilation``. With the means over all
    positions ``z = mean(u1 + u2)``, ``(N, channels)``, the scores are ``W2 relu(bn1(W1 z))``, ``(N, 2 * channels)``,
    path by path; the softmax over the paths makes weights ``a1 + a2 = 1`` of them, and the output is ``a1·u1 + a2·u2``.

    Parameters
    ----------
    channels, in_channels : int
    strides, dilation : int
        Of both convolutions; the second has twice the dilation.
    cardinality : int
        Groups of each convolution.
    halves : bool
        Whether the first path sees the first half of the input's channels and the second the other, instead of all.
    rounding : int
        Between the layers ``fc1`` and ``fc2`` there are ``channels / 16`` channels, rounded to multiples of this.
    norm_layer : type
        Called as ``norm_layer(in_channels=..., **norm_kwargs)``.
    norm_kwargs : dict

    Raises ValueError where the channels cannot be divided into the groups, or into halves.
    """
    radix = PATHS

    def __init__(self, channels, in_channels, strides=1, dilation=1, cardinality=1, halves=False, rounding=32,
                 norm_layer=nn.BatchNorm, norm_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        seen = in_channels // PATHS if halves else in_channels
        if halves and in_channels % PATHS or seen % cardinality or channels % cardinality:
            raise ValueError(f'{in_channels} input and {channels} output channels cannot be divided into '
                             f'{PATHS if halves else 1} x {cardinality} groups')
        norm_kwargs = norm_kwargs or {}
        inner = rounded(channels / REDUCTION, rounding, LEAST)
        self._halves = halves
        with self.name_scope():
            self.paths = nn.HybridSequential()
            for spread in range(dilation, PATHS * dilation + 1, dilation):
                path = nn.HybridSequential()
                path.add(nn.Conv2D(channels, 3, strides, padding=spread, dilation=spread, groups=cardinality,
                                   use_bias=False, in_channels=seen),
                         norm_layer(in_channels=channels, **norm_kwargs), nn.Activation('relu'))
                self.paths.add(path)
            self.fc1 = nn.Conv2D(inner, 1, use_bias=False, in_channels=channels)
            self.bn1 = norm_layer(in_channels=inner, **norm_kwargs)
            self.relu1 = nn.Activation('relu')
            self.fc2 = nn.Conv2D(channels * PATHS, 1, use_bias=False, in_channels=inner)

    def hybrid_forward(self, F, x):
        seen = F.SliceChannel(x, num_outputs=PATHS, axis=1) if self._halves else [x] * PATHS
        first, second = (path(part) for path, part in zip(self.paths, seen))
        pooled = [F.Pooling(each, global_pool=True, pool_type='avg', kernel=(1, 1)) for each in (first, second)]
        scores = self.fc2(self.relu1(self.bn1(self.fc1(pooled[0] + pooled[1]))))
        return weighted_sum(F, (first, second), self.attention(F, scores))

    def attention(self, F, scores):
        """The weights ``(N, 2 * channels, 1, 1)`` of the paths, path by path, from what ``fc2`` returns."""
        return softmax_over_splits(F, scores, PATHS)
