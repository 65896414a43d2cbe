"""Split-Attention (Zhang et al., 2020, https://arxiv.org/abs/2004.08955, section 3.1 and appendix A).

The layout is radix-major: one convolution with radix × cardinality groups gives the channels
``[split][cardinal group][channel]``, so that each split is a contiguous slice.

Written for the CPU as well: the splits are pooled before they are added (pooling is linear, so no
full-size sum is needed), and they are pooled one by one in the plain layout, because oneDNN's
backward pass of a global pooling in a blocked layout takes 100 times as long. The weights of the
splits add up to one, so the last split needs no weight of its own:
``sum_r a_r x_r = x_R + sum_{r<R} a_r (x_r - x_R)``, which saves a product and its slow gradient.
"""
import numpy as np
from mxnet.gluon import HybridBlock, nn

from .deformable import DeformableConv2D

__all__ = ['SplitAttentionConv', 'softmax_over_splits', 'weighted_sum']


class SplitAttentionConv(HybridBlock):
    """A convolution whose output is a weighted sum of ``radix`` splits.

    Takes ``(N, in_channels, H, W)``, returns ``(N, channels, H', W')``. With deformable groups it takes offsets and
    modulation too, as :class:`.DeformableConv2D` does.

    Parameters
    ----------
    channels : int
        Output channels, over all cardinal groups.
    in_channels : int
        Input channels.
    kernel_size, strides, padding, dilation : int
        Of the grouped convolution.
    radix : int
        Splits of each cardinal group, at least 1. With 1 the attention is a sigmoid gate.
    cardinality : int
        Cardinal groups.
    reduction : int
        The fully connected layers have ``max(in_channels * radix / reduction, 32)`` channels between them.
    norm_layer : type
        Called as ``norm_layer(in_channels=..., **norm_kwargs)``.
    norm_kwargs : dict
    deformable_groups : int
        Of the grouped convolution; 0 for an ordinary one.

    Raises ValueError where the channels cannot be divided into the groups.
    """

    library = 'split_attention'

    def __init__(self, channels, in_channels, kernel_size=3, strides=1, padding=1, dilation=1, radix=2,
                 cardinality=1, reduction=4, norm_layer=nn.BatchNorm, norm_kwargs=None, deformable_groups=0, **kwargs):
        super().__init__(**kwargs)
        if radix < 1 or cardinality < 1:
            raise ValueError(f'radix and cardinality must be at least 1, got {radix} and {cardinality}')
        groups = radix * cardinality
        if in_channels % groups or channels % cardinality:
            raise ValueError(f'{in_channels} input and {channels} output channels cannot be divided into '
                             f'radix {radix} x cardinality {cardinality} groups')
        norm_kwargs = norm_kwargs or {}
        inner = max(in_channels * radix // reduction, 32)
        if inner % cardinality:
            raise ValueError(f'{inner} channels between the fully connected layers cannot be divided into '
                             f'cardinality {cardinality} groups: choose other input channels or another reduction')
        self.radix = radix
        self.cardinality = cardinality
        self.channels = channels
        self.library, self.native = 'split_attention', False    # use_native sets it
        with self.name_scope():
            sides = dict(kernel_size=kernel_size, strides=strides, padding=padding, dilation=dilation)
            self.conv = nn.Conv2D(channels * radix, **sides, groups=groups, use_bias=False, in_channels=in_channels) \
                if not deformable_groups else \
                DeformableConv2D(channels * radix, in_channels, **sides, groups=groups,
                                 deformable_groups=deformable_groups)
            self.bn = norm_layer(in_channels=channels * radix, **norm_kwargs)
            self.relu = nn.Activation('relu')
            self.fc1 = nn.Conv2D(inner, 1, groups=cardinality, in_channels=channels)
            self.bn1 = norm_layer(in_channels=inner, **norm_kwargs)
            self.relu1 = nn.Activation('relu')
            self.fc2 = nn.Conv2D(channels * radix, 1, groups=cardinality, in_channels=inner)

    def cast(self, dtype):
        self.native = self.native and np.dtype(dtype) == np.float32
        super().cast(dtype)

    def hybrid_forward(self, F, x, *places):
        x = self.relu(self.bn(self.conv(x, *places)))
        if self.native:
            return self._native_attention(F, x)
        splits = _split(F, x, self.radix)
        pooled = [F.Pooling(split, global_pool=True, pool_type='avg', kernel=(1, 1)) for split in splits]
        weights = self._weights(F, _add(pooled))
        return F.broadcast_mul(x, weights) if self.radix == 1 else weighted_sum(F, splits, weights)

    def _native_attention(self, F, x):
        weights = self._weights(F, F.split_attention_pool(x, radix=self.radix))
        return F.split_attention_sum(x, weights, radix=self.radix)

    def _weights(self, F, pooled):
        """The attention ``(N, radix * C, 1, 1)`` from the pooled sum of the splits, ``(N, C, 1, 1)``."""
        return self.attention(F, self.fc2(self.relu1(self.bn1(self.fc1(pooled)))))

    def attention(self, F, scores):
        """The weights ``(N, radix * C, 1, 1)`` of the splits, radix-major, from what ``fc2`` returns.

        They add up to one over the splits; with radix 1 they are gates between 0 and 1.
        """
        if self.radix == 1:
            return F.sigmoid(scores)
        return softmax_over_splits(F, scores, self.radix, self.cardinality)


def softmax_over_splits(F, scores, radix, cardinality=1):
    """The weights ``(N, radix * C, 1, 1)``, radix-major, of scores ``(N, cardinality * radix * c, 1, 1)``.

    The scores are cardinal-major: the groups of the layer that makes them are the cardinal ones.
    """
    weights = F.reshape(scores, (0, cardinality, radix, -1))
    weights = F.transpose(F.softmax(weights, axis=2), (0, 2, 1, 3))
    return F.reshape(weights, (0, -1, 1, 1))


def weighted_sum(F, splits, weights):
    """The sum of splits ``(N, C, H, W)``, at least two, times weights ``(N, radix * C, 1, 1)`` that add up to one."""
    last = splits[-1]
    return _add([last] + [F.broadcast_mul(split - last, weight)
                          for split, weight in zip(splits[:-1], _split(F, weights, len(splits)))])


def _split(F, x, radix):
    """The splits of ``(N, radix * C, …)``, each ``(N, C, …)``."""
    return [x] if radix == 1 else list(F.SliceChannel(x, num_outputs=radix, axis=1))


def _add(terms):
    """The sum, without the ``0 +`` that Python's ``sum`` puts first."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
