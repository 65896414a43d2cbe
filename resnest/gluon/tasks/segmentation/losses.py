"""Cross entropy of maps: labels that do not count, class weights, hard pixels alone, and the auxiliary head."""
import math

import mxnet as mx
import numpy as np
from mxnet.gluon import Block

from resnest.errors import InputError
from resnest.gluon.nn.native import available

__all__ = ['SegmentationLoss']


class SegmentationLoss(Block):
    """From logits ``(N, classes, H, W)`` and labels ``(N, H, W)`` to losses ``(N,)``.

    The mean of the losses is the mean of the cross entropy over all pixels of the batch that count, weighted where
    there are class weights; an image has its pixels' share in it. Where no pixel counts, losses and gradients are zero.

    With auxiliary logits of the same shape, which a head on an earlier stage gives, their cross entropy is added
    ``aux_weight`` times (Zhao et al., PSPNet, https://arxiv.org/abs/1612.01105, section 3.3).

    Parameters
    ----------
    aux_weight : float
    ignored : int
        Label of the pixels that do not count.
    class_weights : sequence of float
        One for each class, at least 0.
    hard_threshold : float
        Online hard example mining (Shrivastava et al., https://arxiv.org/abs/1604.03540), as OCNet has it on pixels
        (Yuan et al., https://arxiv.org/abs/1809.00916): of a batch only those pixels count whose label has at most
        this probability, 0.7 there. Each head mines its own.
    hard_share : float
        The least share of a batch's pixels that count in spite of the threshold: those of the lowest probabilities,
        and any that tie with the last of them.

    Raises InputError for weights, thresholds and shares out of range. ``native`` says whether the native operator is
    used where it is compiled.
    """

    native = True

    def __init__(self, aux_weight=0.5, ignored=-1, class_weights=None, hard_threshold=None, hard_share=0.05, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= aux_weight < math.inf:
            raise InputError(f'the weight of the auxiliary loss must be at least 0, got {aux_weight}')
        if hard_threshold is not None and not 0 < hard_threshold < 1 or not 0 <= hard_share <= 1:
            raise InputError(f'the threshold of hard pixels must be between 0 and 1, and their least share in [0, 1], '
                             f'got {hard_threshold} and {hard_share}')
        weights = None if class_weights is None else np.asarray(class_weights, dtype=np.float32)
        if weights is not None and not (weights.ndim == 1 and len(weights) and
                                        np.isfinite(weights).all() and (weights >= 0).all()):
            raise InputError(f'class weights must be numbers of at least 0, one for each class, got {class_weights}')
        self._aux_weight, self._ignored, self._weights = aux_weight, ignored, weights
        self._threshold, self._share = hard_threshold, hard_share

    def forward(self, logits, labels, aux=None):
        loss = self._cross_entropy(logits, labels)
        return loss if aux is None else loss + self._aux_weight * self._cross_entropy(aux, labels)

    def _cross_entropy(self, logits, labels):
        counting = labels != self._ignored
        labels = labels * counting
        log_p = self._log_probability(logits.astype('float32', copy=False), labels)
        shares = counting.astype('float32', copy=False)
        if self._threshold:
            shares = shares * self._hard(log_p, counting)
        if self._weights is not None:
            if len(self._weights) != logits.shape[1]:
                raise InputError(f'there are {len(self._weights)} class weights, but {logits.shape[1]} classes')
            shares = shares * mx.nd.array(self._weights, ctx=logits.context).take(labels)
        total = mx.nd.maximum(shares.sum() / len(shares), 1e-12)
        return -(log_p * shares).sum(axis=(1, 2)) / total

    def _log_probability(self, logits, labels):
        """That of the labels, ``(N, H, W)``."""
        if self.native and logits.context.device_type == 'cpu' and available('map_cross_entropy'):
            return -mx.nd.map_cross_entropy(logits, labels.astype('float32', copy=False))
        # Along the last axis log_softmax and its gradient take a fifth of the time on a CPU.
        return logits.transpose((0, 2, 3, 1)).log_softmax(axis=-1).pick(labels, axis=-1)

    def _hard(self, log_p, counting):
        """1 for the pixels ``(N, H, W)`` that are hard, 0 for the others."""
        with mx.autograd.pause():
            values = (log_p * counting).asnumpy()       # those that do not count are the easiest
            least, threshold = math.ceil(self._share * values.size), math.log(self._threshold)
            if least:
                threshold = max(threshold, np.partition(values, least - 1, axis=None)[least - 1])
            return mx.nd.array(values <= threshold, ctx=log_p.context)
