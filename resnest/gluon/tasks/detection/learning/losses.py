"""The losses of a detector, each a sum over what counts, divided by how many there are: NDArrays of one value.

Distances of boxes are absolute ones (Girshick, 2015, https://arxiv.org/abs/1504.08083, with no square near zero).
"""
import mxnet as mx
import numpy as np

__all__ = ['anchor_losses', 'kinds_loss', 'mask_loss', 'region_losses']


def anchor_losses(logits, deltas, drawn, count):
    """Of logits ``(N, A)`` and differences ``(N, A, 4)``: cross-entropy and distance; ``drawn`` is for each image what
    :func:`.targets.drawn_anchors` returned, and ``count`` the divisor."""
    places, labels, counted, wanted = map(np.concatenate, zip(*drawn))
    images = np.repeat(np.arange(len(drawn)), [len(each[0]) for each in drawn])
    chosen = _index(logits, images, places)
    labels, counted, wanted = (_like(logits, each) for each in (labels, counted, wanted))
    entropy = counted * _binary_entropy(mx.nd.gather_nd(logits, chosen), labels)
    distance = mx.nd.abs(mx.nd.gather_nd(deltas, chosen) - wanted) * labels.expand_dims(1)
    return entropy.sum() / count, distance.sum() / count


def region_losses(logits, deltas, classes, wanted, count):
    """Of logits ``(R, C + 1)`` and differences ``(R, 4 K)``: cross-entropy, and distance where the class, among
    ``classes (R,)``, is not the background, C; ``wanted (R, 4)`` are the differences, and ``count`` is the divisor."""
    background = logits.shape[1] - 1
    known, rows = classes < background, np.arange(len(classes))
    entropy = -mx.nd.pick(mx.nd.log_softmax(logits), _like(logits, classes))
    deltas = deltas.reshape((len(classes), -1, 4))
    own = np.where(known, classes, 0) if deltas.shape[1] > 1 else np.zeros_like(rows)
    distance = mx.nd.abs(mx.nd.gather_nd(deltas, _index(logits, rows, own)) - _like(logits, wanted))
    return entropy.sum() / count, (distance * _like(logits, known).expand_dims(1)).sum() / count


def mask_loss(logits, classes, targets, count):
    """Cross-entropy of the pixels of each region's own class, of logits ``(R, C, side, side)``; ``count`` regions."""
    own = mx.nd.gather_nd(logits, _index(logits, np.arange(len(classes)), classes))
    return _binary_entropy(own, _like(logits, targets)).sum() / (count * targets[0].size)


def kinds_loss(logits, kinds, counted, count):
    """Cross-entropy of logits ``(N, kinds, H, W)`` where ``kinds (N, H, W)`` are ``counted``, of ``count`` pixels."""
    entropy = -mx.nd.pick(mx.nd.log_softmax(logits, axis=1), _like(logits, np.where(counted, kinds, 0)), axis=1)
    return (entropy * _like(logits, counted)).sum() / count


def _binary_entropy(logits, labels):
    return mx.nd.relu(logits) - logits * labels + mx.nd.log1p(mx.nd.exp(-mx.nd.abs(logits)))


def _index(like, *parts):
    return mx.nd.array(np.stack(parts), ctx=like.context, dtype='int32')


def _like(like, values):
    return mx.nd.array(values, ctx=like.context, dtype='float32')
