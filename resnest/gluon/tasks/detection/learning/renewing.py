"""Batch norm's statistics from many batches with the same weights (Wu and Johnson, 2021,
https://arxiv.org/abs/2105.07576, section 3)."""
import contextlib

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import nn

from resnest.gluon.mxnet_private import norm_settings

__all__ = ['renew_statistics']


def renew_statistics(net, passes, job):
    """Set the running statistics of the batch norms of ``net``, but for the frozen ones, to those of all values that
    they are given while the functions ``passes`` run: forward passes as in training, of blocks that are not
    hybridized.

    ``job`` (:class:`resnest.gluon.distributed.Job`) is that of the ranks among whose values they are; every rank makes
    as many passes. A collective.
    """
    sums, norms = {}, []
    net.apply(lambda block: norms.append(block) if isinstance(block, nn.BatchNorm) and
              not norm_settings(block)['use_global_stats'] else None)
    with contextlib.ExitStack() as stack, autograd.train_mode():
        for norm in norms:
            stack.enter_context(norm.register_forward_pre_hook(lambda *call: _add(sums, *call)))
        for run in passes:
            run()
    if not sums:
        return
    called = [norm for norm in norms if norm in sums]
    flat = np.concatenate([np.concatenate([[sums[norm][0]], *(part.asnumpy() for part in sums[norm][1:])])
                           for norm in called])
    flat = job.total(flat, 'statistics')
    for norm in called:
        channels = norm.gamma.shape[0]
        (count, *_), mean, square = np.split(flat[:1 + 2 * channels], [1, 1 + channels])
        flat = flat[1 + 2 * channels:]
        norm.running_mean.set_data(mx.nd.array(mean / count))
        norm.running_var.set_data(mx.nd.array(np.maximum(square / count - (mean / count) ** 2, 0)))


def _add(sums, norm, inputs):
    """Add a call's number of values, and the sums of them and of their squares for each channel, in float64."""
    x = inputs[0]
    gamma = norm.gamma.data(x.context)
    one, zero, settings = mx.nd.ones_like(gamma), mx.nd.zeros_like(gamma), norm_settings(norm)
    _, mean, inverse = mx.nd.BatchNorm(x, one, zero, zero.copy(), one.copy(), output_mean_var=True, fix_gamma=False,
                                       axis=settings['axis'], eps=settings['eps'])
    count, mean = x.size // gamma.size, mean.astype('float64')
    var = 1 / inverse.astype('float64') ** 2 - settings['eps']
    before = sums.get(norm, (0, 0, 0))
    sums[norm] = before[0] + count, before[1] + mean * count, before[2] + (var + mean ** 2) * count
