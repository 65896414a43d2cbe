"""Bilinear resizing with aligned corners: as two products with small matrices, or as one operator.

``contrib.BilinearResize2D`` gives the same, but walks over the channels of each position: with the 150 channels of
ADE20K it takes three times as long on a CPU as the products, and so does its gradient. As it is one node, it is what
becomes ONNX's Resize. The native operator (:mod:`resnest.gluon.nn.native`) takes a tenth of the products' time.
"""
import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

__all__ = ['Resize', 'resize_like', 'resize_to', 'resized_part']


class Resize(HybridBlock):
    """``(N, C, h, w)`` at the height and width of a second array ``(N', C', H, W)``, or at given ones, in pixels.

    ``native`` says whether the native operator is used, which :func:`resnest.gluon.nn.use_native` sets, and ``whole``
    whether mxnet's own; otherwise it is the products.
    """

    library = 'resize_map'

    def __init__(self, height=None, width=None, **kwargs):
        super().__init__(**kwargs)
        self._sides = {} if height is None else {'height': height, 'width': width}
        self.native = self.whole = False

    def cast(self, dtype):
        self.native = self.native and np.dtype(dtype) == np.float32
        super().cast(dtype)

    def hybrid_forward(self, F, x, like=None):
        arrays = [x] if self._sides else [x, like]
        if self.native:
            return F.resize_map(*arrays, **self._sides)
        if self.whole:
            return F.contrib.BilinearResize2D(*arrays, **self._sides, mode='size' if self._sides else 'like')
        return resize_to(F, x, **self._sides) if self._sides else resize_like(F, x, like)


def resize_like(F, x, like):
    """``x`` ``(N, C, h, w)`` at the height and width of ``like`` ``(N', C', H, W)``."""
    return _resize(F, x, *(F.contrib.arange_like(like, axis=axis) for axis in (2, 3)))


def resize_to(F, x, height, width):
    """``x`` ``(N, C, h, w)`` at a height and a width in pixels."""
    place = {'ctx': x.context} if hasattr(x, 'context') else {}
    return _resize(F, x, *(F.arange(side, **place) for side in (height, width)))


def resized_part(x, size, rows, columns):
    """Some rows and columns of :func:`resize_to`, each two numbers from and to, and these turned round: of an NDArray
    ``(N, C, h, w)`` at the height and width ``size`` an NDArray ``(N, C, columns, rows)``.

    It takes the time and the memory of its own positions alone.
    """
    (top, bottom, rows), (left, right, columns) = (
        _shares(old, new, *part) for old, new, part in zip(x.shape[2:], size, (rows, columns)))
    part = mx.nd.dot(x[:, :, top:bottom, left:right], mx.nd.array(columns, ctx=x.context), transpose_b=True)
    return mx.nd.dot(mx.nd.transpose(part, (0, 1, 3, 2)), mx.nd.array(rows, ctx=x.context), transpose_b=True)


def _shares(old, new, start, stop):
    """``(first, end, shares)``: the old positions that the new ones from ``start`` to ``stop`` are made of, and the
    share of each in each, ``(stop - start, end - first)``."""
    places = np.arange(start, stop) * ((old - 1) / max(new - 1, 1))
    first, end = int(places[0]), min(int(places[-1]) + 2, old)
    return first, end, np.maximum(0, 1 - np.abs(places[:, None] - np.arange(first, end)))


def _resize(F, x, rows, columns):
    """``x`` at the rows 0, 1, … and columns 0, 1, … of its new size, which are vectors."""
    rows = _weights(F, rows, F.contrib.arange_like(x, axis=2))
    columns = _weights(F, columns, F.contrib.arange_like(x, axis=3))
    # The rows first, while the map is narrow: what is transposed then is small.
    x = F.transpose(F.dot(F.transpose(x, (0, 1, 3, 2)), rows, transpose_b=True), (0, 1, 3, 2))
    return F.dot(x, columns, transpose_b=True)


def _weights(F, wanted, given):
    """The share ``(new side, old side)`` of each old position in each new one, of the positions on both sides.

    The corners are aligned: new position ``i`` of ``n`` lies at ``i * (m - 1) / (n - 1)`` of ``m`` old ones.
    """
    places = F.broadcast_div(F.broadcast_mul(wanted, F.max(given)), F.maximum(F.max(wanted), 1))
    distances = F.abs(F.broadcast_sub(F.reshape(places, (-1, 1)), F.reshape(given, (1, -1))))
    return F.BlockGrad(F.relu(1 - distances))
