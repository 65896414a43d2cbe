"""Batch norm over the images of all ranks; the other rank is what NumPy says of its share."""
import sys

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from mxnet.gluon import nn

from resnest.gluon import distributed
from resnest.gluon.mxnet_private import freeze_statistics, structural_parameters
from resnest.gluon.nn import SyncBatchNorm, use_native

from ..conftest import ROOT, command, horovodrun, needs_horovod

EPS = 1e-5


class BesideAnother(distributed.Job):
    """The first of two ranks; ``others`` holds what the second would send, in order."""

    def __init__(self, *others):
        super().__init__(None)
        self.size = 2
        self.others = [*others]
        self.asked = []

    def add_up(self, array, name):
        self.asked.append(name)
        return array + mx.nd.array(self.others.pop(0), dtype=array.dtype)


def beside(monkeypatch, *others):
    job = BesideAnother(*others)
    monkeypatch.setattr(distributed, '_current', job)
    return job


def sent_forward(x):
    """A rank's sums over its images: how many values, of them, of their squares."""
    count = x.size // x.shape[1]
    x = x.astype(np.float64)
    return np.concatenate([np.full(x.shape[1], count), x.sum((0, 2, 3)), (x ** 2).sum((0, 2, 3))])


def sent_backward(x, dy, whole):
    mean, std = whole.mean((0, 2, 3), keepdims=True), np.sqrt(whole.var((0, 2, 3), keepdims=True) + EPS)
    return np.concatenate([(dy * (x - mean) / std).sum((0, 2, 3)), dy.sum((0, 2, 3))])


def images(count, seed=0, mean=3.0, size=6):
    return np.random.default_rng(seed).normal(mean, 2, (count, 5, size, 4)) * np.arange(1, 6).reshape(1, 5, 1, 1)


def layer(kind, hybrid=False, native=False, **options):
    found = kind(in_channels=5, **options)
    found.initialize()
    rng = np.random.default_rng(7)
    for param in (found.gamma, found.beta):
        param.set_data(mx.nd.array(rng.uniform(0.5, 1.5, 5)))
    assert use_native(found, native) == native
    if hybrid:
        found.hybridize(static_alloc=True)
    return found


def trained(norm, x, dy, dtype='float32'):
    """Result, gradients of input, scale and shift, running mean and variance after one batch."""
    x = mx.nd.array(x, dtype=dtype)
    x.attach_grad()
    with autograd.record():
        y = norm(x)
    y.backward(mx.nd.array(dy, dtype=dtype))
    params = norm.gamma, norm.beta
    return [each.asnumpy() for each in (y, x.grad, *(param.grad() for param in params if param.grad_req != 'null'),
                                        norm.running_mean.data(), norm.running_var.data())]


@pytest.mark.parametrize('native', [False, True])
@pytest.mark.parametrize('hybrid', [False, True])
@pytest.mark.parametrize('options', [{}, {'scale': False}, {'center': False, 'momentum': 0.5}])
def test_half_a_batch_beside_another_is_like_the_whole(monkeypatch, hybrid, options, native):
    """The halves are unequal, in images and in size."""
    x, other, dy, other_dy = images(3), images(2, 1, 5.0), images(3, 2, 0.0), images(2, 3, 0.0)
    whole = np.concatenate([x, other])
    y, dx, *params, mean, var = trained(layer(nn.BatchNorm, **options), whole, np.concatenate([dy, other_dy]))
    job = beside(monkeypatch, sent_forward(other), sent_backward(other, other_dy, whole))
    found = trained(layer(SyncBatchNorm, hybrid, native, **options), x, dy)
    assert not job.others
    own = np.split(sent_backward(x, dy, whole), 2)      # each rank's share, which the trainer adds up
    own = {2: own, 1: own[1:] if 'scale' in options else own[:1]}[len(params)]
    for name, value, wanted in zip(('y', 'dx', *('dparam' for _ in own), 'mean', 'var'), found,
                                   (y[:3], dx[:3], *own, mean, var)):
        np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max(), err_msg=name)


@pytest.mark.parametrize('native', [False, True])
def test_what_is_sent_forward_is_the_sum_of_values_and_squares(monkeypatch, native):
    """A mean of 3,000 standard deviations: float32 has seven digits, and the squares need them all."""
    x = 3000 + np.random.default_rng(0).normal(0, 1, (4, 5, 6, 4))
    other = 3001 + np.random.default_rng(1).normal(0, 1, (4, 5, 6, 4))
    x, other = (each.astype(np.float32) for each in (x, other))
    beside(monkeypatch, sent_forward(other))
    norm = layer(SyncBatchNorm, native=native, momentum=0.0)
    with autograd.train_mode():
        norm(mx.nd.array(x))
    whole = np.concatenate([x, other]).astype(np.float64)
    np.testing.assert_allclose(norm.running_mean.data().asnumpy(), whole.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(norm.running_var.data().asnumpy(), whole.var((0, 2, 3)), rtol=1e-3)


@pytest.mark.parametrize('dtype, own, rtol', [('float16', np.float32, 5e-3), ('float64', np.float64, 1e-5)])
def test_half_precision_keeps_statistics_in_single(monkeypatch, dtype, own, rtol):
    x, other, dy, other_dy = images(3), images(2, 1), images(3, 2, 0.0), images(2, 3, 0.0)
    whole = np.concatenate([x, other])
    y, dx, *_, mean, var = trained(layer(nn.BatchNorm), whole, np.concatenate([dy, other_dy]))
    beside(monkeypatch, sent_forward(other), sent_backward(other, other_dy, whole))
    norm = layer(SyncBatchNorm)
    norm.cast(dtype)
    found = trained(norm, x, dy, dtype)
    assert [each.dtype for each in found] == 2 * [dtype] + 4 * [own]
    for value, wanted in zip((*found[:2], *found[-2:]), (y[:3], dx[:3], mean, var)):
        np.testing.assert_allclose(value, wanted, atol=rtol * np.abs(wanted).max())


@pytest.mark.parametrize('hybrid, native', [(False, False), (True, False), (True, True)])
def test_evaluation_and_frozen_statistics_exchange_nothing(monkeypatch, hybrid, native):
    x = mx.nd.array(images(3))
    wanted = layer(nn.BatchNorm)(x).asnumpy()
    job = beside(monkeypatch)
    norm = layer(SyncBatchNorm, hybrid, native)
    np.testing.assert_allclose(norm(x).asnumpy(), wanted, rtol=1e-6)
    freeze_statistics(norm)
    norm.hybridize(hybrid)
    x.attach_grad()
    with autograd.record():
        y = norm(x)
    y.backward()
    np.testing.assert_allclose(y.asnumpy(), wanted, rtol=1e-6)
    assert job.asked == []


def test_one_rank_has_the_operator_of_batch_norm():
    for kind in (SyncBatchNorm, nn.BatchNorm):
        symbol = layer(kind)(mx.sym.var('data'))
        assert '"op": "BatchNorm"' in symbol.tojson()
        assert 'Custom' not in symbol.tojson()
    assert structural_parameters(layer(SyncBatchNorm)).keys() == structural_parameters(layer(nn.BatchNorm)).keys()


@pytest.mark.parametrize('native', [False, True])
def test_a_layer_in_several_places_sends_under_several_names(monkeypatch, native):
    """Ranks pair sums by their names: the first place of one with the first of the other, step after step."""
    x = mx.nd.array(images(3))
    job = beside(monkeypatch, *8 * [np.zeros(1)])
    norm = layer(SyncBatchNorm, native=native)
    for _ in range(2):
        with autograd.record():
            y = norm(x) + norm(2 * x)
        y.backward()
        mx.nd.waitall()
    forward, *others = sorted(set(job.asked), reverse=True)
    assert len(job.asked) == 8
    assert forward == f'{norm.name} forward'
    assert len(others) == 2


@pytest.mark.parametrize('native', [False, True])
def test_gradients_are_added_where_that_is_asked_for(monkeypatch, native):
    x, dy = mx.nd.array(images(3)), mx.nd.array(images(3, 2, 0.0))
    sent = sent_forward(images(3)), sent_backward(images(3), images(3, 2, 0.0), images(3))
    beside(monkeypatch, *3 * sent)
    norm, found = layer(SyncBatchNorm, native=native), {}
    for request, times in (('write', 1), ('add', 2)):
        x.attach_grad(request)
        norm.gamma.grad_req = request
        for _ in range(times):
            with autograd.record():
                y = norm(x)
            y.backward(dy)
        found[request] = x.grad.asnumpy(), norm.gamma.grad().asnumpy()
    for written, added in zip(*found.values()):
        np.testing.assert_allclose(added, 2 * written, rtol=1e-6, atol=1e-6 * np.abs(added).max())


RANKS = """
import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import nn

from resnest.gluon.distributed import STATISTICS, joined
from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.models import ResNet
from resnest.gluon.nn import SyncBatchNorm, use_native
from tests.conftest import TINY, randomize

rng = np.random.default_rng(1)
batches = [(mx.nd.array(rng.normal(size=(8, 3, 64, 64))), mx.nd.array(rng.integers(0, 10, 8))) for _ in range(2)]


def resnest(norm_layer):
    return ResNet(TINY, classes=10, norm_layer=norm_layer)


def smooth(norm_layer):
    net = nn.HybridSequential()
    for channels in (3, 8, 8):
        net.add(nn.Conv2D(8, 3, 2, in_channels=channels), norm_layer(in_channels=8), nn.Activation('tanh'))
    net.add(nn.GlobalAvgPool2D(), nn.Dense(10, in_units=8), norm_layer(in_channels=10))
    return net


def train(net, share, dtype='float32'):
    # The losses of two batches, the sum of both gradients, the running statistics.
    randomize(net)
    net.cast(dtype)
    use_native(net, native)
    if hybrid:
        net.hybridize(static_alloc=True)
    params = structural_parameters(net)
    trained = {name: param for name, param in params.items() if param.grad_req != 'null'}
    losses, gradients = [], dict.fromkeys(trained, 0)
    for x, labels in batches:
        with autograd.record():
            losses.append(-mx.nd.pick(net(x[share].astype(dtype)).log_softmax(), labels[share]))
        losses[-1].backward()
        gradients = {name: gradients[name] + param.grad() for name, param in trained.items()}
    return ([loss.asnumpy() for loss in losses], {name: value.asnumpy() for name, value in gradients.items()},
            {name: param.data().asnumpy() for name, param in params.items() if name.endswith(STATISTICS)})


def compare(found, wanted, name, rtol=1e-5):
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max() + 1e-7, err_msg=name)


with joined() as job:
    share = slice(0, 5) if job.rank == 0 else slice(5, 8)
    # A ReLU whose input is zero in seven digits may open in one of the two networks only.
    for make, rtol in ((smooth, 1e-5), (resnest, 0.1)):
        for hybrid, native in ((False, False), (True, False), (True, True)):
            # The native operators are nearer to float64 than MXNet's own are.
            wanted_losses, wanted_gradients, wanted_statistics = train(make(nn.BatchNorm), slice(None),
                                                                       'float64' if native else 'float32')
            losses, gradients, statistics = train(make(SyncBatchNorm), share)
            for loss, wanted in zip(losses, wanted_losses):
                compare(loss, wanted[share], 'loss')
            for name, value in job.totals(gradients, 'gradients').items():
                if not name.endswith('bias'):       # zero before a BatchNorm, but for rounding
                    compare(value, wanted_gradients[name], name, rtol)
            for name, value in statistics.items():
                compare(value, wanted_statistics[name], name)
    job.finish()
    print('equal')
"""


@pytest.mark.slow
@needs_horovod
def test_two_ranks_are_like_one_with_the_whole_batch():
    """Two networks, plain, hybridized and with native operators, with 5 and 3 images."""
    result = command(*horovodrun(2), sys.executable, '-W', 'ignore', '-c', RANKS, PYTHONPATH=str(ROOT))
    assert result.stdout.count('equal') == 2, result.stdout + result.stderr
