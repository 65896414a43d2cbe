"""The network: stem, four stages of bottlenecks, classifier (ResNet, He et al., 2016, and all that came of it)."""
from itertools import accumulate
from numbers import Integral
from operator import mul

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn

from resnest.errors import InputError
from resnest.gluon.checking import check_count, is_number
from resnest.gluon.mxnet_private import has_values, remove_child
from resnest.gluon.nn import STEMS, Bottleneck, Dropout, normalization, path_probabilities
from resnest.reading import one_line

__all__ = ['DILATIONS', 'ResNet', 'SMALLEST_IMAGE', 'check_images', 'output_strides', 'shown_options',
           'smallest_side']

SMALLEST_IMAGE = 17     # px, for any network; below, a stage would halve a map of one position
MOST_CLASSES = 10_000_000
DEFORMABLE_GROUPS = 2
OF_BLOCKS = ('attention', 'radix', 'halves', 'rounding', 'shortcut', 'avd_first')
UNUSUAL = (np.float64, np.uint8, np.int8, np.int32, np.int64)       # types of images, unless the weights have them

# dilation → (strides, dilations) of the four stages; the output strides are 32, 16 and 8.
DILATIONS = {1: ((1, 2, 2, 2), (1, 1, 1, 1)),
             2: ((1, 2, 2, 1), (1, 1, 1, 2)),
             4: ((1, 2, 1, 1), (1, 1, 2, 4))}


class ResNet(HybridBlock):
    """ResNeSt, or a network it came from, as ``spec`` says: ``(N, in_channels, H, W)`` → ``(N, classes)``.

    Any height and width from 17 px on will do (:data:`SMALLEST_IMAGE`). The children ``conv1, bn1, relu,
    maxpool, layer1 … layer4, avgpool, flat, fc`` are there for heads that need the stages; the
    parameters' names are those of the official checkpoints. ``repr`` is a line, ``print`` shows Gluon's tree of layers.
    A network can be copied (``copy.deepcopy``) and pickled, its values included.

    Parameters
    ----------
    spec : VariantSpec
        Row of the table; it stays at hand as ``net.spec``.
    classes : int
        With 0 there is no classifier (``fc`` is None), and the pooled features ``(N, 2048)`` are returned.
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
    deformable_stages : sequence of int
        The stages, from 1 to 4, whose 3×3 convolutions are modulated deformable ones, with two deformable groups.
        (2, 3, 4) is what detectors have that are published with "dcn".

    Raises InputError for a parameter of another type or out of range and, when called, for what is no batch of such
    images.
    """

    def __init__(self, spec, classes=1000, in_channels=3, dilation=1, last_gamma=False, dropblock_prob=0.0,
                 drop_path=0.0, norm_layer=nn.BatchNorm, norm_kwargs=None, deformable_stages=(), **kwargs):
        _check(classes, in_channels, dilation, last_gamma, dropblock_prob, drop_path, norm_layer, norm_kwargs)
        _check_stages(deformable_stages)
        super().__init__(**kwargs)
        norm_kwargs = norm_kwargs or {}
        self.spec = spec
        self.in_channels = in_channels
        self.dilation = dilation
        self.deformable_stages = tuple(deformable_stages)
        self.smallest = smallest_side(output_strides(dilation)[-1])
        with self.name_scope():
            channels = 2 * spec.stem_width
            self.conv1 = STEMS[spec.stem](in_channels, channels, norm_layer, norm_kwargs)
            self.bn1 = normalization(channels, norm_layer, norm_kwargs)
            self.relu = nn.Activation('relu')
            pooled = spec.stem != 'single'
            self.maxpool = nn.MaxPool2D(3, 2, padding=1) if pooled else nn.HybridLambda(_identity)
            paths = iter(path_probabilities(drop_path, sum(spec.blocks)))
            stages = zip(spec.stages, spec.blocks, *DILATIONS[dilation], (0, 0, dropblock_prob, dropblock_prob))
            for number, (own, blocks, strides, stage_dilation, prob) in enumerate(stages, 1):
                options = {**own, **{name: getattr(spec, name) for name in OF_BLOCKS}}
                if number == 1 and not pooled:
                    strides = 2
                block_args = dict(**options, last_gamma=last_gamma, dropblock_prob=prob, norm_layer=norm_layer,
                                  norm_kwargs=norm_kwargs,
                                  deformable_groups=DEFORMABLE_GROUPS if number in deformable_stages else 0)
                stage = nn.HybridSequential()
                # The first block still sees the dilation of the stage before it.
                try:
                    stage.add(Bottleneck(in_channels=channels, strides=strides, dilation=max(1, stage_dilation // 2),
                                         project=True, avd=spec.avd and (number > 1 or not pooled),
                                         drop_path=next(paths), **block_args))
                except ValueError as error:
                    raise InputError(f'{spec.name}: {error}') from None
                channels = own['channels']
                for _ in range(blocks - 1):
                    stage.add(Bottleneck(in_channels=channels, dilation=stage_dilation, drop_path=next(paths),
                                         **block_args))
                setattr(self, f'layer{number}', stage)
            self.avgpool = nn.GlobalAvgPool2D()
            self.flat = nn.Flatten()
            self.drop = Dropout(spec.final_drop) if spec.final_drop > 0 else None
        self._add_classifier(classes)

    def _add_classifier(self, classes):
        self.classes = classes
        self.fc = None
        if classes:
            with self.name_scope():     # the prefix: names stay the same after reset_classifier
                self.fc = nn.Dense(classes, in_units=self.spec.widths[-1], prefix='dense0_')

    @property
    def omitted(self):
        """The children that files of a whole network have parameters for, and this network has not."""
        return () if self.fc else ('fc',)

    def reset_classifier(self, classes):
        """Put a classifier for ``classes`` in the place of ``fc``, or none for 0; all else keeps its values.

        It starts anew (MSRAPrelu), on the same devices, where the network has values. A hybridized block *around* this
        one must be hybridized again, and a Trainer made again. Raises InputError as the constructor does.
        """
        check_count('classes', classes, 0, MOST_CLASSES)
        remove_child(self, 'fc')
        self._add_classifier(classes)
        weight = next(iter(self.conv1.collect_params().values()))
        if classes:
            self.fc.cast(weight.dtype)
            if has_values(weight):
                self.fc.initialize(mx.init.MSRAPrelu(factor_type='in', slope=0), ctx=weight.list_ctx())

    def forward(self, x):
        check_images(x, self)
        return super().forward(x)

    def hybrid_forward(self, F, x):
        x = self.flat(self.avgpool(self._stages(x)))
        if self.drop is not None:
            x = self.drop(x)
        return x if self.fc is None else self.fc(x)

    def forward_features(self, x):
        """The map before the pooling: ``(N, 2048, ⌈H / 32⌉, ⌈W / 32⌉)``, larger with a dilation.

        ``net.fc(net.flat(net.avgpool(map)))`` are the logits. Raises InputError as calling the network does.
        """
        check_images(x, self)
        return self._stages(x)

    def _stages(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def __repr__(self):
        return f'ResNet({shown_options(self)}, classes={self.classes})'

    def __str__(self):
        return super().__repr__()


def shown_options(net):
    """What makes a network, as the arguments of ``repr``: its name, and what differs from the name's row."""
    row = net.spec.table.get(net.spec.name, net.spec)
    options = {name: getattr(net.spec, name) for name in net.spec.options()
               if getattr(net.spec, name) != getattr(row, name)}
    usual = {'in_channels': 3, 'dilation': 1, 'deformable_stages': ()}
    options.update({name: getattr(net, name) for name in usual
                    if getattr(net, name) != usual[name]})
    return ', '.join([net.spec.name, *(f'{name}={value}' for name, value in options.items())])


def _identity(F, x):
    return x


def output_strides(dilation):
    """The strides of the stem before its pooling and of the four stages."""
    return 2, *accumulate((4, *DILATIONS[dilation][0][1:]), mul)


def smallest_side(stride):
    """The least height and width of images where the last map has this stride."""
    return stride // 2 + 1 if stride > 4 else 1


def check_images(x, net):
    """Raise InputError where ``x``, unless it is a symbol, is no batch of images for a network."""
    if isinstance(x, mx.sym.Symbol):
        return
    if not isinstance(x, mx.nd.NDArray):
        hint = ": mx.nd.array(x, dtype='float32') makes one" if isinstance(x, np.ndarray) else ''
        raise InputError(f'the network takes images as an NDArray, got {type(x).__name__}{hint}')
    shape = x.shape
    if len(shape) != 4 or shape[1] != net.in_channels:
        raise InputError(f'the network takes images (N, {net.in_channels}, H, W), got {shape}')
    if shape[2] < net.smallest or shape[3] < net.smallest:
        raise InputError(f'the network takes images of at least {net.smallest} x {net.smallest} px, got '
                         f'{shape[2]} x {shape[3]}')
    own = np.dtype(next(iter(net.conv1.collect_params().values())).dtype) if x.dtype in UNUSUAL else x.dtype
    if own != x.dtype:
        hint = 'resnest.gluon.data.with_normalization(net) takes pixels' if x.dtype == np.uint8 else \
            f"x.astype('{own.name}') makes them"
        raise InputError(f'the network does not take images of {np.dtype(x.dtype).name}: {hint}')


def _check(classes, in_channels, dilation, last_gamma, dropblock_prob, drop_path, norm_layer, norm_kwargs):
    check_count('classes', classes, 0, MOST_CLASSES)
    check_count('in_channels', in_channels, 1, MOST_CLASSES)
    if not is_number(dilation, Integral) or dilation not in DILATIONS:
        raise InputError('dilation must be 1, 2 or 4 (output stride 32, 16 or 8), got ' + one_line(repr(dilation)))
    if not isinstance(last_gamma, bool):
        raise InputError(f'last_gamma must be True or False, got {one_line(repr(last_gamma))}')
    for name, value in (('dropblock_prob', dropblock_prob), ('drop_path', drop_path)):
        if not is_number(value) or not 0 <= value < 1:
            raise InputError(f'{name} must be in [0, 1), got {one_line(repr(value))}')
    if not callable(norm_layer) or not isinstance(norm_kwargs, (dict, type(None))):
        raise InputError('norm_layer must be a class of layers, norm_kwargs a dict of its parameters, got '
                         f'{one_line(repr(norm_layer))} and {one_line(repr(norm_kwargs))}')


def _check_stages(numbers):
    if not isinstance(numbers, (list, tuple)) or not all(is_number(each, Integral) for each in numbers) or \
            list(numbers) != sorted({*numbers} & {1, 2, 3, 4}):
        raise InputError('deformable_stages must be ascending numbers of stages from 1 to 4, got '
                         f'{one_line(repr(numbers))}')
