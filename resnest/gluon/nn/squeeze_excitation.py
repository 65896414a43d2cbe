"""Squeeze-excitation of channels (Hu et al., 2018, https://arxiv.org/abs/1709.01507, section 3), and of channels and
positions (Roy et al., 2018, https://arxiv.org/abs/1803.02579, section 2)."""
from mxnet.gluon import HybridBlock, nn

__all__ = ['ConcurrentSqueezeExcitation', 'SqueezeExcitation', 'rounded']

MULTIPLE = 8


def rounded(value, multiple, least=0.0):
    """The multiple of ``multiple``, at least one, that is nearest to ``value``; the next one if it is below
    ``least * value``. timm rounds channels so."""
    nearest = max(multiple, int(value + multiple / 2) // multiple * multiple)
    return nearest + multiple if nearest < least * value else nearest


class SqueezeExcitation(HybridBlock):
    """A gate for each channel, which depends on the means of all channels.

    Takes and returns ``x``: ``(N, channels, H, W)``. With ``z = mean of x over H and W``, ``(N, channels)``, it is
    ``x · sigmoid(W2 relu(W1 z + b1) + b2)``.

    Parameters
    ----------
    channels : int
    reduction : int
        Between the layers ``fc1`` and ``fc2`` there are ``channels / reduction`` channels, rounded to multiples of 8.
    """
    radix = 1       # the gates of a channel

    def __init__(self, channels, reduction=16, **kwargs):
        super().__init__(**kwargs)
        inner = rounded(channels / reduction, MULTIPLE)
        with self.name_scope():
            self.fc1 = nn.Conv2D(inner, 1, in_channels=channels)
            self.relu = nn.Activation('relu')
            self.fc2 = nn.Conv2D(channels, 1, in_channels=inner)

    def hybrid_forward(self, F, x):
        return F.broadcast_mul(x, self._gates(F, x))

    def _gates(self, F, x):
        pooled = F.Pooling(x, global_pool=True, pool_type='avg', kernel=(1, 1))
        return self.attention(F, self.fc2(self.relu(self.fc1(pooled))))

    def attention(self, F, scores):
        """The gates of the channels, ``(N, channels, 1, 1)``, between 0 and 1, from what ``fc2`` returns."""
        return F.sigmoid(scores)


class ConcurrentSqueezeExcitation(SqueezeExcitation):
    """Squeeze-excitation of the channels, and beside it a gate for each position, which depends on its channels (scSE).

    Takes and returns ``x``: ``(N, channels, H, W)``. With ``c``, ``(N, channels, 1, 1)``, the gates of
    :class:`SqueezeExcitation`, and a 1×1 convolution's ``p = sigmoid(w · x + b)``, ``(N, 1, H, W)``, it is
    ``x · c + x · p``.
    """

    def __init__(self, channels, reduction=16, **kwargs):
        super().__init__(channels, reduction, **kwargs)
        with self.name_scope():
            self.position = nn.Conv2D(1, 1, in_channels=channels)

    def hybrid_forward(self, F, x):
        return F.broadcast_mul(x, self._gates(F, x)) + F.broadcast_mul(x, F.sigmoid(self.position(x)))
