"""Deformable convolution, version 2 (Zhu et al., 2018, https://arxiv.org/abs/1811.11168).

Three ways lead to one result: the native operator on the CPU (after :func:`.use_native`), ordinary operators where
there is none, and on a GPU MXNet's own operator, which it has for GPUs alone. (The last has never been run, for want of
a GPU.) Outside of the map everything is zero, as in torchvision; MXNet's version 1 has another rule at the border.
"""
import numpy as np
from mxnet.gluon import HybridBlock

from resnest.gluon.mxnet_private import has_values

__all__ = ['DeformableConv2D', 'cut_offsets']


def cut_offsets(F, values):
    """The offsets and the modulation from what one convolution computes: two thirds, and the sigmoid of the last third.

    Takes ``(N, 3 * D * T, H', W')``, with D deformable groups and T taps.
    """
    down, right, modulation = F.SliceChannel(values, num_outputs=3, axis=1)
    return F.concat(down, right, dim=1), F.sigmoid(modulation)


class DeformableConv2D(HybridBlock):
    """A convolution that samples its input where offsets say.

    Takes ``x`` ``(N, in_channels, H, W)``, offsets ``(N, 2 * D * T, H', W')`` and, unless it is left out, the
    modulation ``(N, D * T, H', W')``; returns ``(N, channels, H', W')``. D are the deformable groups, T the kernel's
    taps, row by row. Channel ``2 * (d * T + t)`` of the offsets moves tap t down and the next one moves it right, in
    pixels of the map, for the d-th part of the input's channels. Between pixels a sample is bilinear. An infinite
    offset gives zeros.

    Parameters
    ----------
    channels, in_channels : int
    kernel_size, strides, padding, dilation : int or (int, int)
    groups, deformable_groups : int
        Both must divide the input channels.
    use_bias : bool

    Raises ValueError where the channels cannot be divided into the groups.
    """
    library = 'deformable_convolution'

    def __init__(self, channels, in_channels, kernel_size=3, strides=1, padding=1, dilation=1, groups=1,
                 deformable_groups=1, use_bias=False, weight_initializer=None, **kwargs):
        super().__init__(**kwargs)
        if in_channels % groups or channels % groups or in_channels % deformable_groups:
            raise ValueError(f'{in_channels} input and {channels} output channels cannot be divided into {groups} '
                             f'groups and {deformable_groups} deformable groups')
        self.native = False     # use_native sets it
        self._kernel, self._strides, self._padding, self._dilation = (
            (value, value) if isinstance(value, int) else tuple(value)
            for value in (kernel_size, strides, padding, dilation))
        self._channels, self._groups, self._deformable_groups = channels, groups, deformable_groups
        self._shape = channels, in_channels // groups, *self._kernel
        with self.name_scope():
            self.weight = self.params.get('weight', shape=self._shape, init=weight_initializer)
            self.bias = self.params.get('bias', shape=(channels,), init='zeros') if use_bias else None

    def cast(self, dtype):
        self.native = self.native and np.dtype(dtype) == np.float32
        super().cast(dtype)

    def hybrid_forward(self, F, x, offsets, modulation=None, weight=None, bias=None):
        if has_values(self.weight) and self.weight.list_ctx()[0].device_type == 'gpu':
            y = self._on_gpu(F, x, offsets, modulation, weight)
        elif self.native:
            y = self._native(F, x, offsets, modulation, weight)
        else:
            y = self._pure(F, x, offsets, modulation, weight)
        return y if bias is None else F.broadcast_add(y, F.reshape(bias, (1, -1, 1, 1)))

    def _native(self, F, x, offsets, modulation, weight):
        arrays = [x, offsets, weight] if modulation is None else [x, offsets, modulation, weight]
        return F.deformable_convolution(*arrays, stride=str(self._strides), pad=str(self._padding),
                                        dilate=str(self._dilation), groups=self._groups,
                                        deformable_groups=self._deformable_groups, modulated=len(arrays) - 3)

    def _on_gpu(self, F, x, offsets, modulation, weight):
        if modulation is None:
            taps = self._deformable_groups * self._kernel[0] * self._kernel[1]
            modulation = F.ones_like(F.slice_axis(offsets, axis=1, begin=0, end=taps))
        return F.contrib.ModulatedDeformableConvolution(
            x, offsets, modulation, weight, kernel=self._kernel, stride=self._strides, pad=self._padding,
            dilate=self._dilation, num_filter=self._channels, num_group=self._groups,
            num_deformable_group=self._deformable_groups, no_bias=True)

    def _pure(self, F, x, offsets, modulation, weight):
        """The samples of all taps, each from the four pixels around it, then a 1×1 convolution of channels and taps."""
        taps, channels = self._kernel[0] * self._kernel[1], self._shape[1] * self._groups
        part = channels // self._deformable_groups
        # With zeros around it, and one more below and to the right, for the neighbours of the last ring.
        x = F.pad(x, mode='constant', pad_width=(0, 0, 0, 0, 1, 2, 1, 2), constant_value=0)
        offsets = F.reshape(offsets, (-1, taps, 2, 0, 0), reverse=True)         # (N * D, T, 2, H', W')
        tap = F.contrib.arange_like(offsets, axis=1)
        tap_row = F.floor((tap + 0.5) / self._kernel[1])
        places = []
        for axis, tap_place in enumerate((tap_row, tap - tap_row * self._kernel[1])):
            corner = F.contrib.arange_like(offsets, axis=3 + axis) * self._strides[axis] + 1 - self._padding[axis]
            place = F.squeeze(F.slice_axis(offsets, axis=2, begin=axis, end=axis + 1), axis=2)
            place = F.broadcast_add(place, F.reshape(corner, (1, 1, 1, -1) if axis else (1, 1, -1, 1)))
            place = F.broadcast_add(place, F.reshape(tap_place * self._dilation[axis], (1, -1, 1, 1)))
            # To the ring, where all is zero, as it is beyond; a place on it, as the second argument, has no gradient.
            ring = F.slice_axis(F.contrib.arange_like(x, axis=2 + axis), axis=0, begin=-2, end=-1)
            ring = F.reshape(ring, (1, 1, 1, 1))
            places.append(F.broadcast_minimum(F.broadcast_maximum(0 * ring, place), ring))
        rows = F.reshape(F.transpose(F.reshape(x, (-1, part, 0, 0), reverse=True), (0, 2, 3, 1)), (-1, part))
        samples = _bilinear(F, rows, *places, _side(F, x, 2), _side(F, x, 3))   # (N * D, T, H', W', C / D)
        if modulation is not None:
            modulation = F.expand_dims(F.reshape(modulation, (-1, taps, 0, 0), reverse=True), 4)
            samples = F.broadcast_mul(samples, modulation)
        samples = F.reshape(F.transpose(samples, (0, 4, 1, 2, 3)), (-1, channels * taps, 0, 0), reverse=True)
        return F.Convolution(samples, F.reshape(weight, (0, -1, 1, 1)), kernel=(1, 1), num_filter=self._channels,
                             num_group=self._groups, no_bias=True)


def _side(F, x, axis):
    """The length of an axis, as an array ``(1, 1, 1, 1)`` of whole numbers."""
    return F.reshape(F.slice_axis(F.shape_array(x), axis=0, begin=axis, end=axis + 1), (1, 1, 1, 1))


def _bilinear(F, rows, down, right, height, width):
    """The values ``(M, T, H', W', C)`` of M maps between their pixels.

    The pixels are the rows ``(M * height * width, C)``, the places ``(M, T, H', W')``.
    """
    top, left = F.floor(down), F.floor(right)
    image = F.reshape(F.contrib.arange_like(down, axis=0), (-1, 1, 1, 1))
    first = F.broadcast_mul(F.cast(image, 'int64'), height * width)
    first = F.broadcast_add(F.broadcast_mul(F.cast(top, 'int64'), width) + F.cast(left, 'int64'), first)
    down, right = F.expand_dims(down - top, 4), F.expand_dims(right - left, 4)
    values = None
    for lower, row_share in ((0, 1 - down), (1, down)):
        for farther, column_share in ((0, 1 - right), (1, right)):
            index = F.broadcast_add(first, lower * width + farther)
            value = F.broadcast_mul(F.take(rows, index, mode='clip'), row_share * column_share)
            values = value if values is None else values + value
    return values
