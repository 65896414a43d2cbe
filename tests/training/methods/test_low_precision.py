"""Training in bfloat16: near float32, with float32 weights, to the same bits after a resume, and refused elsewhere."""
import functools

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.device import cpu_flags
from resnest.gluon.mxnet_private import freeze_statistics
from resnest.gluon.nn import SplitAttentionConv, use_native
from resnest.gluon.tasks.classification import ClassificationConfig as Config
from resnest.gluon.training.methods.rewriting import for_cpu
from resnest.gluon.training.recipe import BFLOAT16, check_device

from ...conftest import needs_horovod, randomize, run_here
from .. import toy_task
from ..runs import assert_same_end, last_arrays, little_run, log

# oneDNN has no such kernels for CPUs without AVX-512, where the option is refused.
multiplies = pytest.mark.skipif(not cpu_flags() & BFLOAT16, reason='this CPU does not multiply in bfloat16')
X = np.random.default_rng(0).normal(size=(8, 3, 64, 64)).astype('float32')
HEAD = np.random.default_rng(1).normal(size=(8, 10)).astype('float32')


def rounded(values):
    """To bfloat16, halves to the even one."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)


def lowered(net):
    return for_cpu(net, 'bfloat16')


def trained(net, x, head):
    """The output, and the gradients by their parameters' names, of the second pass in training."""
    net.hybridize(static_alloc=True, static_shape=True)
    for _ in range(2):      # the second has its memory planned
        with mx.autograd.record():
            y = net(mx.nd.array(x))
        y.backward(mx.nd.array(head))
    assert y.dtype == np.float32
    params = net.collect_params().values()
    assert {np.dtype(param.dtype) for param in params} == {np.dtype('float32')}
    return y.asnumpy(), {param.name: param.grad().asnumpy() for param in params if param.grad_req != 'null'}


@multiplies
@pytest.mark.parametrize('bias', [False, True])
def test_products_of_rounded_numbers(bias):
    """A convolution, a rectifier and a dense layer: what is rounded, and that nothing else is lost."""
    rng = np.random.default_rng(2)
    x, head = rng.normal(size=(4, 5, 1, 1)), rng.normal(size=(4, 3))
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(6, 1, in_channels=5, use_bias=bias, activation='relu'),
            mx.gluon.nn.Dense(3, in_units=6, use_bias=bias))
    net.initialize(mx.init.Normal(1))
    found, gradients = trained(lowered(net), x, head)
    (weight, *bias1), (dense, *bias2) = [[rounded(param.data().asnumpy()).reshape(param.shape[:2])
                                          for param in layer.collect_params().values()] for layer in net]
    hidden = rounded(np.maximum(rounded(x)[:, :, 0, 0] @ weight.T + sum(bias1), 0))
    wanted = hidden @ dense.T + sum(bias2)
    np.testing.assert_allclose(found, rounded(wanted), rtol=2 ** -7, atol=1e-6)
    head = rounded(head)
    np.testing.assert_allclose(gradients[net[1].weight.name], rounded(head.T @ hidden), rtol=2 ** -7, atol=1e-2)
    back = rounded(rounded(head @ dense) * (hidden > 0))
    np.testing.assert_allclose(gradients[net[0].weight.name][:, :, 0, 0], back.T @ rounded(x)[:, :, 0, 0],
                               rtol=2 ** -7, atol=2e-2)


@multiplies
@pytest.mark.parametrize('native', [False, True])
@pytest.mark.parametrize('settings', [{}, {'radix': 4, 'cardinality': 2}], ids=str)
def test_an_attention_is_near_the_one_in_float32(native, settings):
    """Each gradient, and the running statistics; the scores' normalization would amplify rounding, and is frozen."""
    def one(wrap):
        net = mx.gluon.nn.HybridSequential()
        net.add(mx.gluon.nn.Conv2D(32, 3, padding=1, in_channels=3), SplitAttentionConv(32, 32, **settings),
                mx.gluon.nn.MaxPool2D(), mx.gluon.nn.BatchNorm(in_channels=32), mx.gluon.nn.Activation('relu'),
                mx.gluon.nn.Conv2D(10, 1, in_channels=32), mx.gluon.nn.GlobalAvgPool2D(), mx.gluon.nn.Flatten())
        freeze_statistics(randomize(net)[1].bn1)
        assert use_native(net, native) is native
        y, gradients = trained(wrap(net), X[:, :, :32, :32], HEAD)
        statistics = {name: param.data().asnumpy() for name, param in net.collect_params('.*running_.*').items()}
        return {'y': y, **gradients, **statistics}

    for (name, value), other in zip(one(lambda net: net).items(), one(lowered).values()):
        assert np.linalg.norm(value - other) < 0.2 * np.linalg.norm(value), name


@multiplies
@pytest.mark.parametrize('native', [False, True])
def test_a_network_is_near_the_one_in_float32(tiny, native):
    """As a whole; the gradients of the first layers add up over a million activations, some of which change sign."""
    def one(wrap):
        net = randomize(tiny(dropblock_prob=0.1, last_gamma=True))
        mx.random.seed(3)
        assert use_native(net, native) is native
        y, gradients = trained(wrap(net), X, HEAD)
        return y, np.concatenate([gradient.ravel() for gradient in gradients.values()])

    for wanted, found, tolerance in zip(one(lambda net: net), one(lowered), (0.03, 0.25)):
        assert 1e-4 < np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < tolerance


@multiplies
def test_a_run_goes_on_to_the_same_bits(tmp_path):
    def run(folder, *words):
        return run_here(toy_task.main, 'toy_task.py', '--save-dir', folder, '--num-epochs', 3, '--warmup-epochs', 1,
                        '--batch-size', 16, '--lr', 0.004, '--dtype', 'bfloat16', *words).returncode

    assert run(tmp_path / 'whole') == 0
    assert run(tmp_path / 'parts', '--stop', 1, 11) == 75
    assert run(tmp_path / 'parts', '--resume', 'auto') == 0
    assert_same_end(tmp_path / 'parts', tmp_path / 'whole')
    assert run(tmp_path / 'single', '--dtype', 'float32') == 0
    assert log(tmp_path / 'single') != log(tmp_path / 'whole')


# 18 steps, each clipped, of a network without BatchNorm; the rate is that of a batch of 16.
WORDS = ('--layers', 'plain', '--num-epochs', 3, '--warmup-epochs', 1, '--eval-frequency', 3, '--wd', 0.01,
         '--clip-gradient', 0.05, '--ema-decay', 0.9)


@pytest.fixture(scope='module')
def ends(tmp_path_factory):
    """A function from the options of a run, of a batch of 16 unless given, to the weights and averages at its end."""
    @functools.cache
    def end(*words, batch=16, ranks=1):
        folder = tmp_path_factory.mktemp('run')
        result = little_run(folder, *WORDS, '--batch-size', batch, '--lr', 0.2 * batch / 16, *words, ranks=ranks)
        assert result.returncode == 0, result.stdout + result.stderr
        return np.concatenate([value.ravel() for name, value in last_arrays(folder).items()
                               if name.startswith(('net/', 'average/'))])
    return end


def assert_followed(found, wanted, begin):
    """The way that the weights went, as a whole."""
    assert 0 < np.linalg.norm(found - wanted) < 0.015 * np.linalg.norm(wanted - begin)


@multiplies
@pytest.mark.parametrize('batch', [16, 4])
def test_clipped_accumulated_and_averaged_steps_follow_float32(ends, batch):
    """Four batches of 4 for one of 16 as well; the two precisions are apart by rounding."""
    words = '--accumulate', 16 // batch, '--dtype', 'bfloat16'
    assert_followed(ends(*words, batch=batch), ends(), ends('--lr', 1e-9))


@multiplies
@pytest.mark.slow
@needs_horovod
def test_two_ranks_go_the_way_of_one(ends):
    one, two = ends('--dtype', 'bfloat16'), ends('--dtype', 'bfloat16', batch=8, ranks=2)
    assert_followed(two, one, ends('--lr', 1e-9))


def test_it_is_for_cpus_that_multiply_in_it(monkeypatch):
    for flags in BFLOAT16:
        monkeypatch.setattr('resnest.gluon.training.recipe.cpu_flags', lambda flags=flags: {'avx2', flags})
        check_device(Config(dtype='bfloat16'), mx.cpu())
    with pytest.raises(InputError, match='is for CPUs; add --no-cuda, or use --dtype float16'):
        check_device(Config(dtype='bfloat16'), mx.gpu(0))
    monkeypatch.setattr('resnest.gluon.training.recipe.cpu_flags', lambda: {'avx2', 'avx512f', 'avx512bw'})
    with pytest.raises(InputError, match='by AVX512-BF16 or AMX, and this one does not .*; use --dtype float32'):
        check_device(Config(dtype='bfloat16'), mx.cpu())
    check_device(Config(dtype='bfloat16', eval_only=True, resume='auto'), mx.cpu())     # in float32
    with pytest.raises(InputError, match='--dtype bfloat16 is for CPUs; leave out --cuda'):
        Config(dtype='bfloat16', cuda=True)
