"""RoIAlign (He et al., 2017, https://arxiv.org/abs/1703.06870, section 3): maps of one size from regions of a map.

The native operator computes it on the CPU (after :func:`.use_native`), MXNet's own one where there is none and on a
GPU. That one ends the process at a region without width or height, reads any memory for the index of an image that is
not there, and takes hours over a region of a million pixels; so regions are made harmless before it, and those that are
none give zeros after it.
"""
import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

__all__ = ['RoIAlign']

WIDER = 1e-6        # what regions are widened by at least, relative to their coordinates: about ten steps of float32
FAR = 2             # how many sides of the map a region may reach outside


class RoIAlign(HybridBlock):
    """Aligned RoIAlign: takes maps ``(N, C, H, W)`` and regions ``(R, 5)``, returns ``(R, C, size, size)``.

    A region is ``(image, x0, y0, x1, y1)``: the image's index in the batch and a box in pixels of the picture, whose
    first pixel covers 0 to 1. Only the maps get a gradient. Any values may come:

    - a box that reaches outside of the map by more than twice the map's side is cut there (nothing beyond one position
      outside counts, but where the bins lie depends on the whole box, and the number of samples grows with it);
    - a box with a NaN or an end before its start, and an index that is no image's, give zeros, and so does an empty
      box where the number of samples follows from the box;
    - no regions at all, ``(0, 5)`` under ``mx.util.np_shape``, give ``(0, C, size, size)``.

    Parameters
    ----------
    size : int
        Height and width of the result.
    scale : float
        Of the map to the picture: 1 / stride.
    sampling_ratio : int
        Samples for each bin and axis; 0 for as many as the bin has positions of the map, rounded up.
    """
    library = 'roi_align'

    def __init__(self, size, scale, sampling_ratio=0, **kwargs):
        super().__init__(**kwargs)
        self.native = False     # use_native sets it
        self._size, self._scale, self._sampling_ratio = size, scale, sampling_ratio

    def cast(self, dtype):
        self.native = self.native and np.dtype(dtype) == np.float32
        super().cast(dtype)

    def forward(self, x, regions):
        if isinstance(regions, mx.nd.NDArray) and regions.shape[0] == 0:    # the operators would end with an error
            return mx.nd.zeros((0, x.shape[1], self._size, self._size), ctx=x.context, dtype=x.dtype)
        return super().forward(x, regions)

    def hybrid_forward(self, F, x, regions):
        if self.native:
            return F.roi_align(x, regions, size=self._size, scales=self._scale, sampling_ratio=self._sampling_ratio)
        regions = F.BlockGrad(regions)
        valid = self._valid(F, x, regions)
        regions = F.where(regions == regions, regions, F.zeros_like(regions))       # without NaN
        count, height, width = _sides(F, x)
        image = F.floor(F.broadcast_maximum(F.broadcast_minimum(_columns(F, regions, 0, 1), count - 1), 0 * count))
        limit = F.concat(width, height, width, height, dim=1) / self._scale
        boxes = F.broadcast_maximum(F.broadcast_minimum(_columns(F, regions, 1, 5), (FAR + 1) * limit), -FAR * limit)
        start, end = _columns(F, boxes, 0, 2), _columns(F, boxes, 2, 4)
        end = F.broadcast_maximum(end, start + WIDER * (F.abs(start) + 1 / self._scale))
        pooled = F.contrib.ROIAlign(x, F.concat(image, start, end, dim=1), pooled_size=(self._size, self._size),
                                    spatial_scale=self._scale, sample_ratio=self._sampling_ratio, aligned=True)
        return F.where(valid, pooled, F.zeros_like(pooled))

    def _valid(self, F, x, regions):
        """Which regions have a value: ``(R,)``. Whatever is compared with a NaN gives 0."""
        image = _columns(F, regions, 0, 1)
        count, _, _ = _sides(F, x)
        valid = F.broadcast_lesser(image, count) * (image >= 0) * (image == F.floor(image))
        for axis in (1, 2):
            # As the operator computes it: a box may be empty only after rounding.
            start, end = (_columns(F, regions, axis + edge, axis + edge + 1) * self._scale - 0.5 for edge in (0, 2))
            valid = valid * (end - start >= 0 if self._sampling_ratio else end - start > 0)
        return F.squeeze(valid, axis=1)


def _columns(F, array, begin, end):
    return F.slice_axis(array, axis=1, begin=begin, end=end)


def _sides(F, x):
    """Images, height and width of maps, each ``(1, 1)``, as numbers of float32."""
    shape = F.cast(F.shape_array(x), 'float32')
    return [F.reshape(F.slice_axis(shape, axis=0, begin=axis, end=axis + 1), (1, 1)) for axis in (0, 2, 3)]
