"""Cross entropy with label smoothing (Szegedy et al., 2016) and mixed labels (Zhang et al., 2018; section 4.2)."""
from mxnet.gluon import HybridBlock

__all__ = ['SmoothedCrossEntropy']


class SmoothedCrossEntropy(HybridBlock):
    """From logits ``(N, classes)``, labels ``(N,)`` and, with mixup, shares ``(N,)`` to losses ``(N,)``.

    The target is ``1 - smoothing`` on the label plus ``smoothing / classes`` on every class; with shares ``lam``,
    ``lam`` times that target plus ``1 - lam`` times the one of the reversed batch. Once hybridized, call it always
    with shares or always without: shares of one change nothing.
    """

    def __init__(self, smoothing=0.0, **kwargs):
        super().__init__(**kwargs)
        self._smoothing = smoothing

    def hybrid_forward(self, F, logits, labels, lam=None):
        log_p = F.log_softmax(F.cast(logits, 'float32'), axis=-1)
        right = F.pick(log_p, labels, axis=-1)
        if lam is not None:
            right = lam * right + (1 - lam) * F.pick(log_p, F.flip(labels, axis=0), axis=-1)
        loss = -(1 - self._smoothing) * right
        return loss - self._smoothing * F.mean(log_p, axis=-1) if self._smoothing else loss
