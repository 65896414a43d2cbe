"""The network: deep stem, four stages of bottlenecks, classifier (ResNet-D, He et al., 2019, with Split-Attention)."""
from numbers import Integral, Real

from mxnet.gluon import HybridBlock, nn

from resnest.errors import InputError
from resnest.gluon.nn import Bottleneck, path_probabilities
from resnest.reading import one_line

__all__ = ['DILATIONS', 'ResNet', 'SMALLEST_IMAGE']

SMALLEST_IMAGE = 17     # px; below, a stage would halve a map of one position
MOST_CLASSES = 10_000_000

# dilation → (strides, dilations) of the four stages; the output strides are 32, 16 and 8.
DILATIONS = {1: ((1, 2, 2, 2), (1, 1, 1, 1)),
             2: ((1, 2, 2, 1), (1, 1, 1, 2)),
             4: ((1, 2, 1, 1), (1, 1, 2, 4))}


class ResNet(HybridBlock):
    """ResNeSt, and ResNet-D where ``radix`` is 0. Takes ``(N, in_channels, H, W)``, returns ``(N, classes)``.

    Any height and width from 17 px on will do (:data:`SMALLEST_IMAGE`). The children ``conv1, bn1, relu,
    maxpool, layer1 … layer4, avgpool, flat, fc`` are there for heads that need the stages; the
    parameters' names are those of the official checkpoints.

    Parameters
    ----------
    spec : VariantSpec
        Row of the table; it stays at hand as ``net.spec``.
    classes : int
    in_channels : int
        Channels of the image.
    dilation : {1, 2, 4}
        Output stride 32, 16 or 8.
    last_gamma : bool
        Start the last scale of each block at zero (section 5.1 of the paper).
    dropblock_prob : float
        Probability of the DropBlocks in the last two stages.
    drop_path : float
        Stochastic depth (Huang et al., 2016): probability that the last block's residual branch is left out for a
        sample while training, which grows linearly over the blocks.
    norm_layer : type
    norm_kwargs : dict
        Called as ``norm_layer(in_channels=…, **norm_kwargs)``.

    Raises InputError for a parameter of another type or out of range.
    """

    def __init__(self, spec, classes=1000, in_channels=3, dilation=1, last_gamma=False, dropblock_prob=0.0,
                 drop_path=0.0, norm_layer=nn.BatchNorm, norm_kwargs=None, **kwargs):
        _check(classes, in_channels, dilation, last_gamma, dropblock_prob, drop_path, norm_layer, norm_kwargs)
        super().__init__(**kwargs)
        norm_kwargs = norm_kwargs or {}
        self.spec = spec
        self.in_channels = in_channels
        self.dilation = dilation
        with self.name_scope():
            self.conv1, channels = _stem(in_channels, spec.stem_width, norm_layer, norm_kwargs)
            self.bn1 = norm_layer(in_channels=channels, **norm_kwargs)
            self.relu = nn.Activation('relu')
            self.maxpool = nn.MaxPool2D(3, 2, padding=1)
            paths = iter(path_probabilities(drop_path, sum(spec.blocks)))
            stages = zip((64, 128, 256, 512), spec.blocks, *DILATIONS[dilation], (0, 0, dropblock_prob, dropblock_prob))
            for number, (planes, blocks, strides, stage_dilation, prob) in enumerate(stages, 1):
                block_args = dict(radix=spec.radix, cardinality=spec.cardinality, norm_layer=norm_layer,
                                  bottleneck_width=spec.bottleneck_width, avd_first=spec.avd_first,
                                  last_gamma=last_gamma, dropblock_prob=prob, norm_kwargs=norm_kwargs)
                stage = nn.HybridSequential()
                # The first block still sees the dilation of the stage before it.
                try:
                    stage.add(Bottleneck(planes, channels, strides, max(1, stage_dilation // 2), project=True,
                                         avd=spec.avd and number > 1, drop_path=next(paths), **block_args))
                except ValueError as error:
                    raise InputError(f'{spec.name}: {error}') from None
                channels = planes * Bottleneck.expansion
                for _ in range(blocks - 1):
                    stage.add(Bottleneck(planes, channels, dilation=stage_dilation, drop_path=next(paths),
                                         **block_args))
                setattr(self, f'layer{number}', stage)
            self.avgpool = nn.GlobalAvgPool2D()
            self.flat = nn.Flatten()
            self.drop = nn.Dropout(spec.final_drop) if spec.final_drop > 0 else None
            self.fc = nn.Dense(classes, in_units=channels)

    def hybrid_forward(self, F, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.flat(self.avgpool(x))
        if self.drop is not None:
            x = self.drop(x)
        return self.fc(x)


def _check(classes, in_channels, dilation, last_gamma, dropblock_prob, drop_path, norm_layer, norm_kwargs):
    for name, value in (('classes', classes), ('in_channels', in_channels)):
        if not _is_number(value, Integral) or not 1 <= value <= MOST_CLASSES:
            raise InputError(f'{name} must be a whole number of at least 1 and at most {MOST_CLASSES}, got '
                             f'{one_line(repr(value))}')
    if not _is_number(dilation, Integral) or dilation not in DILATIONS:
        raise InputError('dilation must be 1, 2 or 4 (output stride 32, 16 or 8), got ' + one_line(repr(dilation)))
    if not isinstance(last_gamma, bool):
        raise InputError(f'last_gamma must be True or False, got {one_line(repr(last_gamma))}')
    for name, value in (('dropblock_prob', dropblock_prob), ('drop_path', drop_path)):
        if not _is_number(value, Real) or not 0 <= value < 1:
            raise InputError(f'{name} must be in [0, 1), got {one_line(repr(value))}')
    if not callable(norm_layer) or not isinstance(norm_kwargs, (dict, type(None))):
        raise InputError('norm_layer must be a class of layers, norm_kwargs a dict of its parameters, got '
                         f'{one_line(repr(norm_layer))} and {one_line(repr(norm_kwargs))}')


def _is_number(value, kind):
    return isinstance(value, kind) and not isinstance(value, bool)


def _stem(in_channels, width, norm_layer, norm_kwargs):
    """Three 3×3 convolutions, the first with stride 2, and the channels they end with."""
    stem = nn.HybridSequential()
    channels = in_channels
    for index, (out, strides) in enumerate(((width, 2), (width, 1), (2 * width, 1))):
        if index:
            try:
                stem.add(norm_layer(in_channels=channels, **norm_kwargs), nn.Activation('relu'))
            except (TypeError, AssertionError) as error:
                raise InputError(f'norm_layer does not take norm_kwargs: {one_line(error)}') from None
        stem.add(nn.Conv2D(out, 3, strides, padding=1, use_bias=False, in_channels=channels))
        channels = out
    return stem, channels
