"""Pictures of different sizes as one batch."""
import mxnet as mx

from resnest.gluon.data.images.transforms import normalization, statistics

from ..geometry.sizes import COARSEST

__all__ = ['Together']


class Together:
    """Takes uint8 pictures ``(h, w, 3)``, NumPy, RGB; returns ``(x, sizes)`` as ``net`` wants them: in its order of
    channels, normalized, ``(N, 3, H, W)`` with zeros to the right and below, and the pictures' own heights and widths.

    H and W are the largest height and width, up to multiples of ``multiple`` pixels. The coarser it is, the fewer are
    the shapes for which MXNet plans anew, and the less the zeros, which batch norms see, depend on which pictures are
    together.
    """

    def __init__(self, net, device, multiple=COARSEST):
        self._normalize = normalization(*statistics(net))
        self._ordered, self._device, self._multiple = net.spec.ordered, device, multiple

    def __call__(self, pictures):
        sizes = [picture.shape[:2] for picture in pictures]
        height, width = (-(-max(sides) // self._multiple) * self._multiple for sides in zip(*sizes))
        pixels = [mx.nd.array(self._ordered(picture)[None], self._device, 'uint8') for picture in pictures]
        x = [mx.nd.pad(self._normalize(each), mode='constant',
                       pad_width=(0, 0, 0, 0, 0, height - size[0], 0, width - size[1]))
             for each, size in zip(pixels, sizes)]
        return mx.nd.concat(*x, dim=0), sizes
