"""The outputs of the stages, for segmentation, detection and other heads."""
from collections.abc import Iterable
from numbers import Integral

from mxnet.gluon import HybridBlock

from resnest.errors import InputError
from resnest.gluon.mxnet_private import child_names
from resnest.reading import one_line

from .resnet import check_images, output_strides, shown_options, smallest_side

__all__ = ['Features']


class Features(HybridBlock):
    """A ResNet without its classifier; takes ``(N, in_channels, H, W)``, returns a tuple of the stages' outputs.

    Output ``i`` is ``(N, channels[i], ⌈H / strides[i]⌉, ⌈W / strides[i]⌉)``. The children and the parameters bear the
    names of the whole network's; what comes after the last output is left out (``omitted``).

    Parameters
    ----------
    net : ResNet
        Its children move into this block.
    out_indices : sequence of int
        Ascending; 1 to 4 are the stages, 0 is the stem before its pooling.

    ``strides`` and ``channels`` are tuples of int, one per output. Raises InputError for other indices and, when
    called, for what is no batch of such images, or where they are too small for the stages.
    """

    def __init__(self, net, out_indices=(1, 2, 3, 4), **kwargs):
        indices = tuple(out_indices) if isinstance(out_indices, Iterable) else ()
        if not indices or not all(isinstance(index, Integral) and 0 <= index <= 4 for index in indices) or \
                list(indices) != sorted(set(indices)):
            raise InputError('out_indices must be ascending numbers from 0 (the stem) to 4, got '
                             f'{one_line(repr(out_indices))}')
        super().__init__(**kwargs)
        self.spec = net.spec
        self.in_channels = net.in_channels
        self.out_indices = indices
        self.dilation = net.dilation
        self.deformable_stages = net.deformable_stages
        strides = output_strides(net.dilation)
        channels = 2 * net.spec.stem_width, *net.spec.widths
        self.strides = tuple(strides[index] for index in indices)
        self.channels = tuple(channels[index] for index in indices)
        self.smallest = smallest_side(self.strides[-1])
        stages = ('maxpool', *(f'layer{number}' for number in range(1, indices[-1] + 1))) if indices[-1] else ()
        kept = ('conv1', 'bn1', 'relu', *stages)
        self.omitted = tuple({name: None for name in (*child_names(net), 'fc') if name not in kept})
        for name in kept:
            setattr(self, name, getattr(net, name))

    def forward(self, x):
        check_images(x, self)
        return tuple(super().forward(x))        # a hybridized block makes a list of it

    def hybrid_forward(self, F, x):
        x = self.relu(self.bn1(self.conv1(x)))
        outputs = [x]
        if self.out_indices[-1]:
            x = self.maxpool(x)
        for number in range(1, self.out_indices[-1] + 1):
            x = getattr(self, f'layer{number}')(x)
            outputs.append(x)
        return tuple(outputs[index] for index in self.out_indices)

    def __repr__(self):
        return (f'Features({shown_options(self)}, out_indices={self.out_indices}, strides={self.strides}, '
                f'channels={self.channels})')

    def __str__(self):
        return super().__repr__()
