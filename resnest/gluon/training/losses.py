"""Cross entropy with label smoothing (Szegedy et al., 2016; section 4.2)."""
from mxnet.gluon import HybridBlock

__all__ = ['SmoothedCrossEntropy']


class SmoothedCrossEntropy(HybridBlock):
    """From logits ``(N, classes)`` and labels ``(N,)`` to losses ``(N,)``.

    The target is ``1 - smoothing`` on the label plus ``smoothing / classes`` on every class.
    """

    def __init__(self, smoothing=0.0, **kwargs):
        super().__init__(**kwargs)
        self._smoothing = smoothing

    def hybrid_forward(self, F, logits, labels):
        log_p = F.log_softmax(F.cast(logits, 'float32'), axis=-1)
        loss = -(1 - self._smoothing) * F.pick(log_p, labels, axis=-1)
        return loss - self._smoothing * F.mean(log_p, axis=-1) if self._smoothing else loss
