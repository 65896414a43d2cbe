"""What logits come to: exact top-1, top-5 and loss, as sums that can be added over ranks, and probabilities."""
import time

import mxnet as mx
import numpy as np

__all__ = ['COUNTS', 'SUMS', 'evaluate', 'count_correct', 'cross_entropy', 'softmax']

COUNTS = ('correct1', 'correct5', 'seen', 'nonfinite')
SUMS = (*COUNTS, 'loss')


def count_correct(logits, labels, top=5):
    """How many samples have their label first, and how many among the first ``top`` classes.

    ``logits`` is ``(N, classes)``, ``labels`` ``(N,)``, both NumPy. A class that ties with the label's counts
    as before it, so that equal logits are no success; with fewer than ``top`` classes all of them count.
    NaN is never correct.
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    others = np.ones_like(logits, dtype=bool)
    others[np.arange(len(labels)), labels] = False
    before = (~(logits < own) & others).sum(axis=1)
    valid = ~np.isnan(own[:, 0])
    return int((valid & (before < 1)).sum()), int((valid & (before < top)).sum())


def softmax(logits):
    """Probabilities ``(N, classes)`` as float64 of logits, both NumPy."""
    logits = logits.astype('float64')
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def cross_entropy(logits, labels):
    """The loss of each sample, ``(N,)`` float64: minus the logarithm of its label's probability.

    ``logits`` is ``(N, classes)``, ``labels`` ``(N,)``, both NumPy. There is no label smoothing in it, nor mixup, so
    that runs with other recipes can be compared.
    """
    logits = logits.astype('float64')
    highest = logits.max(axis=1)
    return highest + np.log(np.exp(logits - highest[:, None]).sum(axis=1)) - logits[np.arange(len(labels)), labels]


def evaluate(net, loader, device, progress=None, watch=None):
    """Run the network over a loader.

    A batch of fewer images than one before it is filled up, since mxnet plans a graph anew for each size.

    Parameters
    ----------
    net : callable
        From uint8 ``(N, size, size, 3)`` to logits ``(N, classes)``.
    loader : iterable of (images, labels)
    device : Context
    progress : callable
        Called with the number of images after each batch.
    watch : callable
        Called with the logits and the labels of each batch, both NumPy.

    Returns a dict: the counts ``correct1``, ``correct5``, ``seen`` and ``nonfinite`` (images whose logits are not),
    ``loss``, the sum of :func:`cross_entropy` over the others, and ``images_per_second`` without the first batch,
    None where there is no other.
    """
    totals = np.zeros(4, dtype=np.int64)
    loss = 0.0
    timed, seconds, known = 0, 0.0, 0
    last = time.perf_counter()
    for images, labels in loader:
        count = len(labels)
        if count < known:
            images = np.concatenate([images, np.repeat(images[-1:], known - count, axis=0)])
        logits = net(mx.nd.array(images, ctx=device, dtype='uint8')).asnumpy()[:count]
        finite = np.isfinite(logits).all(axis=1)
        totals += (*count_correct(logits, labels), count, count - finite.sum())
        loss += float(cross_entropy(logits[finite], labels[finite]).sum()) if finite.any() else 0.0
        if watch:
            watch(logits, labels)
        now = time.perf_counter()
        if count <= known:      # the first batch of a size traces or plans the graph
            timed, seconds = timed + count, seconds + now - last
        known = max(known, count)
        last = now
        if progress:
            progress(count)
    return {**dict(zip(COUNTS, totals.tolist())), 'loss': loss,
            'images_per_second': timed / seconds if timed else None}
