"""Batch norm over the images of all ranks (section 3.1 of Peng et al., MegDet, https://arxiv.org/abs/1711.07240).

Where each rank has few images, the statistics of its own are too rough to normalize by. Each layer then adds up the
sums of all ranks, once in the forward and once in the backward pass, and normalizes as one process with the whole
batch would.

It is an operator of the graph (``mx.operator``), because the exchange must happen while a hybridized network runs, and
this is the only kind of operator that is written in Python and recorded in a traced graph. MXNet calls it on a thread
of its own. What it does there is to hand further operators and the exchange to MXNet's engine; it waits for nothing, so
no thread is held up and no two layers can wait for each other. The engine runs a layer when its input is there, and the
same layer's calls in the order in which they were made, since each call writes the running statistics; Horovod pairs
the ranks' sums by the name of the layer, so that the order in which layers get there does not matter.
"""
import collections

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import nn

from resnest.gluon import distributed
from resnest.gluon.mxnet_private import norm_settings

__all__ = ['SyncBatchNorm']

OPERATOR = 'resnest_sync_batch_norm'


class SyncBatchNorm(nn.BatchNorm):
    """``nn.BatchNorm`` whose mean and variance in training are those of all ranks' images together.

    Takes and returns ``(N, C, …)``; ``N`` and the other lengths may differ between ranks. Parameters, their names, and
    everything outside of a job of several ranks (:func:`resnest.gluon.distributed.joined`) are those of
    ``nn.BatchNorm``: the very operator. So are evaluation and frozen statistics (``use_global_stats``) inside of one,
    which exchange nothing.

    In training each call is a collective: every rank makes the same calls, forward and backward. The gradient of the
    input is that of the sum of all ranks' losses; those of scale and shift are this rank's share, as of any parameter.

    Give it to a network by ``get_model(…, norm_layer=SyncBatchNorm)``. After :func:`.native.use_native` it goes over
    its arrays twice in each direction, in float32 on CPUs; without, a few times as often.
    """

    library = 'sync_batch_norm'

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.native = False     # use_native sets it

    def cast(self, dtype):
        super().cast(dtype)
        self.native = self.native and np.dtype(dtype) == np.float32

    def hybrid_forward(self, F, x, gamma, beta, running_mean, running_var):
        settings = norm_settings(self)
        if distributed.current().size == 1 or settings['use_global_stats']:
            return super().hybrid_forward(F, x, gamma, beta, running_mean, running_var)
        # MXNet 1.9.1 misreads oneDNN's blocked layout where it hands arrays to Python. A reshape into the same shape
        # leaves the plain one on the way forward. On the way back it would be done in place, and do nothing; there it
        # is the slice of everything.
        y = F.Custom(F.reshape(x, (-2,)), gamma, beta, running_mean, running_var, op_type=OPERATOR, layer=self.name,
                     name='fwd', axis=settings['axis'], eps=repr(settings['eps']),
                     momentum=repr(settings['momentum']), fix_gamma=settings['fix_gamma'],
                     native=self.native and settings['axis'] == 1)[0]
        return F.slice_axis(y, axis=0, begin=0, end=None)


class _Passes:
    """How often a layer has been called since its last backward pass: in a network that has it in several places the
    sums of each need a name of their own, the same on every rank.

    The engine calls a layer forward in the order of the program, and after all backward passes of calls before.
    """
    count, ended = 0, True

    def begin(self):
        self.count = 0 if self.ended else self.count + 1
        self.ended = False
        return self.count


_passes = collections.defaultdict(_Passes)


class _Operator(mx.operator.CustomOp):
    """What one call of a layer does; the object goes from its forward to its backward pass."""

    def __init__(self, layer, axis, eps, momentum, fix_gamma):
        super().__init__()
        self._layer, self._momentum, self._fix_gamma = layer, momentum, fix_gamma
        self._settings = {'axis': axis, 'eps': eps, 'fix_gamma': False}
        self._training, self._place = False, 0

    def forward(self, is_train, req, in_data, out_data, aux):
        x, gamma, beta = in_data
        self._training = is_train
        statistics = aux
        if is_train:
            self._place = _passes[self._layer].begin()
            statistics = _united(*self._local(x, gamma), x.size // gamma.size, self._layer, gamma.dtype)
            for running, new in zip(aux, statistics):
                running[:] = self._momentum * running + (1 - self._momentum) * new
            self.assign(out_data[1], req[1], mx.nd.stack(*statistics))
        self.assign(out_data[0], req[0], self._normalized(x, self._scale(gamma), beta, *statistics[:2]))

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        x, scale, shift = in_data[0], self._scale(in_data[1]).copy(), in_data[2].copy()
        mean, var, count = out_data[1] if self._training else (*aux, None)
        for array in (x, scale, shift):
            array.attach_grad()
        with autograd.record():
            y = self._normalized(x, scale, shift, mean, var)
        y.backward(out_grad[0])
        dx, dgamma, dbeta = x.grad, scale.grad, shift.grad
        if self._training:
            _passes[self._layer].ended = True
            sums = distributed.current().add_up(mx.nd.concat(dgamma, dbeta, dim=0),
                                                f'{self._layer} backward {self._place}')
            # The mean and the variance depend on x too: dx = γ / σ · (dy - Σ dy / count - x̂ · Σ dy x̂ / count).
            factor = -scale / mx.nd.sqrt(var + self._settings['eps']) / count
            dx = dx + self._normalized(x, *(factor * part for part in sums.split(2, axis=0)), mean, var)
        if self._fix_gamma:
            dgamma = mx.nd.zeros_like(dgamma)
        for place, value in enumerate((dx, dgamma, dbeta)):
            self.assign(in_grad[place], req[place], value)

    def _scale(self, gamma):
        return mx.nd.ones_like(gamma) if self._fix_gamma else gamma

    def _normalized(self, x, gamma, beta, mean, var):
        return mx.nd.BatchNorm(x, gamma, beta, mean, var, use_global_stats=True, **self._settings)

    def _local(self, x, gamma):
        """The mean and the variance of each channel among this rank's images, as float64."""
        one, zero = mx.nd.ones_like(gamma), mx.nd.zeros_like(gamma)
        with autograd.train_mode():
            _, mean, inverse = mx.nd.BatchNorm(x, one, zero, zero.copy(), one.copy(), output_mean_var=True,
                                               **self._settings)
        return mean.astype('float64'), 1 / inverse.astype('float64') ** 2 - self._settings['eps']


class _NativeOperator(_Operator):
    """The same in training by native/sync_batch_norm.cc, which writes into MXNet's arrays."""

    def forward(self, is_train, req, in_data, out_data, aux):
        if not is_train:
            return super().forward(is_train, req, in_data, out_data, aux)
        self._training = True
        self._place = _passes[self._layer].begin()
        x, gamma, beta = in_data
        sums = distributed.current().add_up(mx.nd.sync_norm_sums(x), f'{self._layer} forward')
        self._write(mx.nd.sync_norm_apply, (x, gamma, beta, sums, *aux), [*out_data, *aux], [*req, 'write', 'write'],
                    eps=self._settings['eps'], momentum=self._momentum, fix_gamma=self._fix_gamma)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        if not self._training:
            return super().backward(req, out_grad, in_data, out_data, in_grad, aux)
        _passes[self._layer].ended = True
        dy, (x, gamma, _), statistics, eps = out_grad[0], in_data, out_data[1], self._settings['eps']
        own = mx.nd.sync_norm_grad_sums(dy, x, statistics, eps=eps)
        sums = distributed.current().add_up(own, f'{self._layer} backward {self._place}')
        self._write(mx.nd.sync_norm_grad, (dy, x, gamma, statistics, sums), in_grad[:1], req[:1], eps=eps,
                    fix_gamma=self._fix_gamma)
        dgamma, dbeta = own.split(2, axis=0)
        self.assign(in_grad[1], req[1], mx.nd.zeros_like(dgamma) if self._fix_gamma else dgamma)
        self.assign(in_grad[2], req[2], dbeta)

    def _write(self, operator, arrays, to, requests, **attributes):
        if set(requests) <= {'write', 'inplace'}:
            operator(*arrays, out=to, **attributes)
        else:
            made = operator(*arrays, **attributes)
            for each, request, value in zip(to, requests, made if isinstance(made, list) else [made]):
                self.assign(each, request, value)


def _united(mean, var, count, layer, dtype):
    """The mean, the variance and the number of values of each channel over all ranks, from those of this rank, as
    ``dtype``.

    The sums are of values and of their squares, in float64. Each rank has taken its variance about its own mean, in
    two passes; what is left to subtract are squares of means, and where a mean is 10,000 standard deviations from zero
    that costs float64 8 of its 16 digits, and a variance in float32 nothing.
    """
    packed = mx.nd.concat(mx.nd.ones_like(mean) * count, mean * count, (var + mean ** 2) * count, dim=0)
    count, total, squares = distributed.current().add_up(packed, f'{layer} forward').split(3, axis=0)
    mean = total / count
    var = mx.nd.maximum(squares / count - mean ** 2, 0)
    return [each.astype(dtype) for each in (mean, var, count)]


@mx.operator.register(OPERATOR)
class _Properties(mx.operator.CustomOpProp):
    """What MXNet asks about the operator; its attributes come as texts.

    Besides its result it returns the mean, the variance and the number of values as rows of one array, for the backward
    pass. (MXNet 1.9.1 reads behind the end of a list where an operator has more results than arguments.)
    """

    def __init__(self, layer, axis, eps, momentum, fix_gamma, native):
        super().__init__(need_top_grad=True)
        self._arguments = layer, int(axis), float(eps), float(momentum), fix_gamma == 'True'
        self._native = native == 'True'

    def list_arguments(self):
        return ['data', 'gamma', 'beta']

    def list_auxiliary_states(self):
        return ['moving_mean', 'moving_var']

    def list_outputs(self):
        return ['output', 'statistics']

    def infer_shape(self, in_shape):
        data = in_shape[0]
        channels = (data[self._arguments[1]],)
        return [data, channels, channels], [data, (3, *channels)], [channels, channels]

    def infer_type(self, in_type):
        data = in_type[0]
        own = np.float32 if data == np.float16 else data        # as nn.BatchNorm casts its parameters
        return [data, own, own], [data, own], [own, own]

    def declare_backward_dependency(self, out_grad, in_data, out_data):
        return [out_grad[0], *in_data, out_data[1]]

    def create_operator(self, ctx, in_shapes, in_dtypes):
        return (_NativeOperator if self._native else _Operator)(*self._arguments)
