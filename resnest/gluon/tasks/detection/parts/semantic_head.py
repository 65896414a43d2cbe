"""The head that says what each pixel is (Kirillov et al., 2019, https://arxiv.org/abs/1901.02446, section 3)."""
from mxnet.gluon import HybridBlock, nn

from .convolution import Convolution

__all__ = ['SemanticHead']

WIDTH = 128
TIMES = (1, 1, 2, 3)        # convolutions of p2 to p5; each is followed by a doubling, but that of p2


class SemanticHead(HybridBlock):
    """Takes p2, p3, p4, p5, returns logits ``(N, kinds, H, W)`` at the size of the image; kind 0 is any thing."""

    def __init__(self, in_channels, kinds, norm_layer=None, norm_kwargs=None, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            for number, times in enumerate(TIMES, 2):
                level = nn.HybridSequential()
                for place in range(times):
                    level.add(Convolution(WIDTH, 3, WIDTH if place else in_channels, norm_layer, norm_kwargs))
                    if number > 2:
                        level.add(nn.HybridLambda(_double))
                setattr(self, f'p{number}', level)
            self.logits = nn.Conv2D(kinds, 1, in_channels=WIDTH)

    def hybrid_forward(self, F, *levels):
        total = self.p2(levels[0])
        for number, level in enumerate(levels[1:], 3):
            total = total + getattr(self, f'p{number}')(level)
        return _enlarge(F, self.logits(total), 4)


def _double(F, x):
    return _enlarge(F, x, 2)


def _enlarge(F, x, times):
    """Bilinear, corners not aligned."""
    return F.contrib.BilinearResize2D(x, scale_height=times, scale_width=times, mode='size', align_corners=False)
