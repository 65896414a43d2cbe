"""The residual block: 1×1, 3×3, 1×1 (He et al., 2016, https://arxiv.org/abs/1512.03385), over a shortcut that may be
pooled (He et al., 2019), with split attention (Zhang et al., 2020, section 3.2) or another attention as a part."""
from mxnet.gluon import HybridBlock, nn

from .deformable import DeformableConv2D, cut_offsets
from .drop_path import DropPath
from .dropblock import DropBlock
from .selective_kernel import SelectiveKernelConv
from .split_attention import SplitAttentionConv
from .squeeze_excitation import ConcurrentSqueezeExcitation, SqueezeExcitation

__all__ = ['ATTENTIONS', 'SHORTCUTS', 'Bottleneck']

ATTENTIONS = ('split', 'se', 'scse', 'sk', 'none')
SHORTCUTS = ('pooled', 'strided')
GATES = {'se': SqueezeExcitation, 'scse': ConcurrentSqueezeExcitation}      # after the last normalization


class Bottleneck(HybridBlock):
    """Bottleneck block; takes ``(N, in_channels, H, W)``, returns ``(N, channels, H / strides, W / strides)``.

    Parameters
    ----------
    planes : int
        Width of the stage: 64, 128, 256, 512.
    in_channels : int
        Input channels.
    strides, dilation : int
        Of the 3×3 convolution (of the pooling that takes its place with ``avd``).
    project : bool
        Whether the shortcut is a 1×1 convolution instead of the identity.
    shortcut : {'pooled', 'strided'}
        Whether the stride of that convolution's shortcut is in an average pooling before it (ResNet-D), or its own.
    attention : {'split', 'se', 'scse', 'sk', 'none'}
        Split attention (:class:`.SplitAttentionConv`) or selective kernels (:class:`.SelectiveKernelConv`) in the place
        of the 3×3 convolution; or gates before the sum (:class:`.SqueezeExcitation`,
        :class:`.ConcurrentSqueezeExcitation`); or none.
    radix : int
        Splits of split attention; 0 gives the ResNet-D block: a plain strided 3×3 convolution, without ``avd``.
    halves : bool
        Whether each path of selective kernels sees a half of the channels.
    rounding : int
        The channels between the layers that weigh selective kernels are a multiple of it.
    cardinality, bottleneck_width : int
        The 3×3 convolution has ``int(planes * bottleneck_width / 64) * cardinality`` channels.
    avd : bool
        Average downsampling: a 3×3 average pooling with the stride, beside the 3×3 convolution.
    avd_first : bool
        The pooling comes before the convolution (the "fast" variants) instead of after it.
    last_gamma : bool
        Whether the scale of the last normalization starts at zero (section 5.1).
    dropblock_prob : float
        Probability of the DropBlocks after the three convolutions; 0 for none.
    drop_path : float
        Probability that the residual branch is left out for a sample (:class:`.DropPath`); 0 for never.
    deformable_groups : int
        Of the 3×3 convolution, if it is to be a modulated deformable one (:class:`.DeformableConv2D`), whose offsets a
        second 3×3 convolution beside it computes, zero at first; 0 for an ordinary one.
    channels : int
        Output channels; four times the planes unless given.
    """
    expansion = 4

    def __init__(self, planes, in_channels, strides=1, dilation=1, project=False, shortcut='pooled', attention='split',
                 radix=2, halves=False, rounding=32, cardinality=1, bottleneck_width=64, avd=False, avd_first=False,
                 last_gamma=False, dropblock_prob=0.0, drop_path=0.0, norm_layer=nn.BatchNorm, norm_kwargs=None,
                 deformable_groups=0, channels=None, **kwargs):
        super().__init__(**kwargs)
        norm_kwargs = norm_kwargs or {}
        width = int(planes * bottleneck_width / 64) * cardinality
        channels = channels or planes * self.expansion
        if attention == 'split' and radix == 0:
            attention, avd = 'none', False
        conv_strides = 1 if avd else strides
        norms = dict(norm_layer=norm_layer, norm_kwargs=norm_kwargs)
        self._avd_first = avd_first
        with self.name_scope():
            self.conv1 = nn.Conv2D(width, 1, use_bias=False, in_channels=in_channels)
            self.bn1 = norm_layer(in_channels=width, **norm_kwargs)
            self.relu1 = nn.Activation('relu')
            sides = dict(kernel_size=3, strides=conv_strides, padding=dilation, dilation=dilation)
            self.conv2_offset = None
            if deformable_groups:
                if width % deformable_groups:
                    raise ValueError(f'{width} channels cannot be divided into {deformable_groups} deformable groups')
                self.conv2_offset = nn.Conv2D(3 * 9 * deformable_groups, **sides, groups=deformable_groups,
                                              in_channels=width, weight_initializer='zeros')
            if attention == 'split':
                self.conv2 = SplitAttentionConv(width, width, **sides, radix=radix, cardinality=cardinality, **norms,
                                                deformable_groups=deformable_groups)
            elif attention == 'sk':
                if deformable_groups:
                    raise ValueError('selective kernels have no deformable convolutions: leave them out')
                self.conv2 = SelectiveKernelConv(width, width, conv_strides, dilation, cardinality, halves, rounding,
                                                 **norms)
            else:
                self.conv2 = nn.Conv2D(width, **sides, groups=cardinality, use_bias=False, in_channels=width) \
                    if not deformable_groups else \
                    DeformableConv2D(width, width, **sides, groups=cardinality, deformable_groups=deformable_groups)
            # What replaces the 3×3 convolution is normalized inside.
            plain = attention not in ('split', 'sk')
            self.bn2 = norm_layer(in_channels=width, **norm_kwargs) if plain else None
            self.relu2 = nn.Activation('relu') if plain else None
            self.avd = nn.AvgPool2D(3, strides, padding=1) if avd else None
            self.conv3 = nn.Conv2D(channels, 1, use_bias=False, in_channels=width)
            gamma = {'gamma_initializer': 'zeros'} if last_gamma else {}
            self.bn3 = norm_layer(in_channels=channels, **{**norm_kwargs, **gamma})
            self.se = GATES[attention](channels) if attention in GATES else None
            self.relu3 = nn.Activation('relu')
            for name in ('dropblock1', 'dropblock2', 'dropblock3'):
                setattr(self, name, DropBlock(dropblock_prob) if dropblock_prob > 0 else None)
            self.drop_path = DropPath(drop_path) if drop_path > 0 else None
            self.downsample = None
            if project:
                self.downsample = nn.HybridSequential()
                # The official names count the pooling, so it is there at stride 1 too, as the identity.
                if shortcut == 'pooled':
                    self.downsample.add(nn.AvgPool2D(strides, strides, ceil_mode=True, count_include_pad=False)
                                        if strides > 1 else nn.HybridLambda(_identity))
                self.downsample.add(nn.Conv2D(channels, 1, 1 if shortcut == 'pooled' else strides, use_bias=False,
                                              in_channels=in_channels))
                self.downsample.add(norm_layer(in_channels=channels, **norm_kwargs))

    @property
    def attention(self):
        """The layer whose ``attention`` weighs channels from the scores of its ``fc2``; None where none does."""
        return self.se or (self.conv2 if self.bn2 is None else None)

    def hybrid_forward(self, F, x):
        out = _through(self.conv1(x), self.bn1, self.dropblock1, self.relu1)
        if self.avd and self._avd_first:
            out = self.avd(out)
        places = () if self.conv2_offset is None else cut_offsets(F, self.conv2_offset(out))
        out = _through(self.conv2(out, *places), self.bn2, self.relu2, self.dropblock2,
                       None if self._avd_first else self.avd)
        out = _through(self.conv3(out), self.bn3, self.se, self.dropblock3, self.drop_path)
        return self.relu3(out + (x if self.downsample is None else self.downsample(x)))


def _identity(F, x):
    return x


def _through(x, *blocks):
    """``x`` through the blocks in turn; None stands for a block that is not there."""
    for block in blocks:
        if block is not None:
            x = block(x)
    return x
