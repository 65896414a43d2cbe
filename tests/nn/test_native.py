"""The native operators against formulas in NumPy and against the pure path; where they are compiled, and where not."""
import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from resnest.errors import InputError, MissingPackage
from resnest.gluon.device import cpu_flags
from resnest.gluon.mxnet_private import freeze_statistics
from resnest.gluon.nn import SplitAttentionConv, native, use_native

from ..conftest import ROOT, needs_compiler, randomize, relative_error

SHAPES = [(1, 3, 1, 1), (2, 5, 7, 5), (33, 4, 3, 2), (1, 16, 14, 14), (3, 24, 28, 28)]


@pytest.fixture
def operators():
    assert native.load()
    return mx.nd


@pytest.fixture
def quick_compiler(tmp_path_factory, monkeypatch):
    """The compiler in half the time: for the tests of building, whose operators compute next to nothing."""
    script = tmp_path_factory.mktemp('compiler') / 'c++'
    script.write_text(f"#!/bin/sh\nexec {os.environ.get('CXX') or 'g++'} \"$@\" -O0\n")
    script.chmod(0o755)
    monkeypatch.setenv('CXX', str(script))


def python(code, **environment):
    """What a fresh process prints; None takes a variable from its environment."""
    settings = {**os.environ, 'PYTHONPATH': str(ROOT), **environment}
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd='/', check=False,
                          env={key: value for key, value in settings.items() if value is not None})
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@needs_compiler
@pytest.mark.parametrize('shape', SHAPES, ids=str)
@pytest.mark.parametrize('radix', [1, 2, 3, 4])
def test_operators_and_their_gradients_equal_the_formulas(operators, radix, shape):
    rng = np.random.default_rng(radix)
    batch, channels, height, width = shape
    x = rng.normal(size=(batch, radix, channels, height, width)).astype('float32')
    weights, d_pool = rng.normal(size=(2, batch, radix, channels, 1, 1)).astype('float32')
    d_pool, d_sum = d_pool[:, 0], rng.normal(size=shape).astype('float32')
    inputs = [mx.nd.array(value.reshape(batch, radix * channels, *value.shape[3:])) for value in (x, weights)]
    for value in inputs:
        value.attach_grad()
    with mx.autograd.record():
        total = operators.split_attention_sum(*inputs, radix=radix)
        pooled = operators.split_attention_pool(inputs[0], radix=radix)
    mx.autograd.backward([total, pooled], [mx.nd.array(d_sum), mx.nd.array(d_pool)])
    assert total.shape == shape
    assert relative_error(total.asnumpy(), (weights * x).sum(axis=1)) < 1e-5
    assert relative_error(pooled.asnumpy(), x.mean(axis=(3, 4), keepdims=True).sum(axis=1)) < 1e-5
    d_x = weights * d_sum[:, None] + d_pool[:, None] / (height * width)
    d_weights = (d_sum[:, None] * x).sum(axis=(3, 4))
    assert relative_error(inputs[0].grad.asnumpy(), d_x.reshape(inputs[0].shape)) < 1e-5
    assert relative_error(inputs[1].grad.asnumpy().ravel(), d_weights.ravel()) < 1e-5


def through_onednn(x):
    """The same numbers as oneDNN's convolutions leave them, and take their gradients."""
    identity = mx.nd.amp_cast(mx.nd.array(np.eye(x.shape[1])[:, :, None, None]), dtype=x.dtype)
    return mx.nd.Convolution(x, identity, no_bias=True, kernel=(1, 1), num_filter=x.shape[1])


@needs_compiler
@pytest.mark.parametrize('dtype, tolerance', [
    (np.dtype('float32'), 1e-5), pytest.param(np.dtype([('bfloat16', np.uint16)]), 2 ** -7, marks=pytest.mark.skipif(
        not {'avx512bw', 'avx512dq', 'avx512vl'} <= cpu_flags(), reason='oneDNN has no bfloat16 without AVX-512'))])
@pytest.mark.parametrize('shape', [(2, 16, 5, 3), (3, 8, 4, 4), (2, 72, 1, 7), (1, 512, 3, 4), (2, 5, 3, 3)], ids=str)
@pytest.mark.parametrize('radix', [1, 2, 3])
def test_maps_between_convolutions(operators, radix, shape, dtype, tolerance):
    """In whatever layout, with gradients from both operators; bfloat16 is a rounding of what comes and goes."""
    rng = np.random.default_rng(radix)
    batch, channels, height, width = shape
    sizes = (batch, radix, channels, height, width), (batch, radix, channels, 1, 1), shape, (batch, channels, 1, 1)
    x, weights, d_sum, d_pool = (rng.normal(size=size).astype('float32') for size in sizes)
    whole, shares, d_sum, d_pool = (mx.nd.array(value.reshape(batch, -1, *value.shape[-2:]))
                                    for value in (x, weights, d_sum, d_pool))
    for value in (whole, shares):
        value.attach_grad()
    with mx.autograd.record():
        maps = through_onednn(mx.nd.amp_cast(whole, dtype=dtype))
        total = operators.split_attention_sum(maps, shares, radix=radix)
        pooled = operators.split_attention_pool(maps, radix=radix)
        assert (total.dtype, pooled.dtype) == (dtype, np.float32)
        total = mx.nd.amp_cast(through_onednn(total), dtype='float32')
    mx.autograd.backward([total, pooled], [d_sum, d_pool])
    d_sum, d_pool = d_sum.asnumpy(), d_pool.asnumpy()
    assert relative_error(total.asnumpy(), (weights * x).sum(axis=1)) < tolerance
    assert relative_error(pooled.asnumpy(), x.mean(axis=(3, 4), keepdims=True).sum(axis=1)) < tolerance
    d_x = weights * d_sum[:, None] + d_pool[:, None] / (height * width)
    assert relative_error(whole.grad.asnumpy(), d_x.reshape(whole.shape)) < tolerance
    d_weights = (d_sum[:, None] * x).sum(axis=(3, 4))
    assert relative_error(shares.grad.asnumpy().ravel(), d_weights.ravel()) < tolerance


@needs_compiler
@pytest.mark.parametrize('settings', [dict(radix=4), dict(radix=0), dict(radix=-2), dict(radix=None), dict(x=(6, 3, 3)),
                                      dict(weights=(1, 6, 1, 1)), dict(weights=(2, 3, 1, 1)), dict(dtype='float64'),
                                      dict(dtype='float16')], ids=str)
def test_operators_refuse_what_does_not_fit(operators, settings):
    settings = {'radix': 3, 'x': (2, 6, 3, 3), 'weights': (2, 6, 1, 1), 'dtype': 'float32', **settings}
    x, weights = (mx.nd.ones(settings[name], dtype=settings['dtype']) for name in ('x', 'weights'))
    radix = {} if settings['radix'] is None else {'radix': settings['radix']}
    with pytest.raises(mx.MXNetError, match='split attention'):
        operators.split_attention_sum(x, weights, **radix).wait_to_read()


def logits_and_gradients(net, x, head, train_mode):
    with mx.autograd.record(train_mode=train_mode):
        logits = net(x)
    logits.backward(head, train_mode=train_mode)
    gradients = {name: param.grad().asnumpy() for name, param in net._collect_params_with_prefix().items()
                 if param.grad_req != 'null'}
    return logits.asnumpy(), gradients


def assert_agree(found, wanted, tolerance):
    assert relative_error(found[0], wanted[0]) < tolerance
    assert found[1].keys() == wanted[1].keys()
    largest = max(np.abs(value).max() for value in wanted[1].values())
    for name, gradient in wanted[1].items():
        assert np.abs(found[1][name] - gradient).max() < tolerance * max(np.abs(gradient).max(), 1e-3 * largest), name


@needs_compiler
@pytest.mark.parametrize('cardinality', [1, 2])
@pytest.mark.parametrize('radix', [1, 2, 3, 4])
@pytest.mark.parametrize('hybrid', [None, {}, dict(static_alloc=True, static_shape=True)], ids=str)
def test_block_equals_the_pure_one(hybrid, radix, cardinality):
    block = randomize(SplitAttentionConv(24, 48, radix=radix, cardinality=cardinality))
    if hybrid is not None:
        block.hybridize(**hybrid)
    for shape in [(33, 48, 5, 7), (1, 48, 1, 1), (2, 48, 14, 14)]:
        x = mx.nd.array(np.random.default_rng(0).normal(size=shape))
        head = mx.nd.array(np.random.default_rng(1).normal(size=(shape[0], 24, *shape[2:])))
        assert use_native(block, False) is False
        wanted = logits_and_gradients(block, x, head, False)
        assert use_native(block) is True
        assert_agree(logits_and_gradients(block, x, head, False), wanted, 1e-4)


def smooth(net):
    """``net`` with softplus in the place of ReLU, whose gradient is on or off with the last bit around zero."""
    net.apply(lambda block: setattr(block, '_act_type', 'softrelu') if isinstance(block, nn.Activation) else None)
    return net


@needs_compiler
@pytest.mark.parametrize('hybrid', [{}, dict(static_alloc=True, static_shape=True)], ids=str)
def test_network_equals_the_pure_one(tiny, hybrid):
    net = randomize(tiny())
    net.hybridize(**hybrid)
    x = mx.nd.array(np.random.default_rng(0).normal(size=(8, 3, 64, 64)))
    evaluated = net(x).asnumpy()
    assert use_native(net) is True
    for _ in range(2):      # the second run has its memory planned
        assert relative_error(net(x).asnumpy(), evaluated) < 1e-5


@needs_compiler
@pytest.mark.parametrize('hybrid', [{}, dict(static_alloc=True, static_shape=True)], ids=str)
def test_gradients_of_a_network_equal_those_in_float64(tiny, hybrid):
    """While training, on any number of threads.

    With ReLU the float32 gradients of either path are up to 5 % away from those in float64, since some of the half
    million activations are rounded to the other side of zero; and the normalization of eight scores, which
    test_native_rounding.py is about, amplifies rounding.
    """
    x = np.random.default_rng(0).normal(size=(8, 3, 64, 64)).astype('float32')
    head = np.random.default_rng(1).normal(size=(8, 10)).astype('float32')

    def trained(dtype, use):
        net = smooth(randomize(tiny()))
        net.apply(lambda block: freeze_statistics(block.bn1) if isinstance(block, SplitAttentionConv) else None)
        net.cast(dtype)
        net.hybridize(**hybrid)
        assert use_native(net, use) is use
        for _ in range(2):      # the second run has its memory planned
            found = logits_and_gradients(net, *(mx.nd.array(value, dtype=dtype) for value in (x, head)), True)
        return found

    exact = trained('float64', False)
    for use in (True, False):
        assert_agree(trained('float32', use), exact, 3e-4)


def traced_operators(net, folder):
    """The operators of the graph that a call of ``net`` leaves behind."""
    net.hybridize()
    net(mx.nd.zeros((1, 3, 64, 64)))
    net.export(str(folder / 'net'))
    return (folder / 'net-symbol.json').read_text()


@needs_compiler
def test_the_switch_traces_anew_and_the_default_is_pure(tiny, tmp_path):
    net = randomize(tiny())
    assert 'split_attention_' not in traced_operators(net, tmp_path)
    use_native(net)
    assert 'split_attention_sum' in traced_operators(net, tmp_path)
    use_native(net, False)
    assert 'split_attention_' not in traced_operators(net, tmp_path)


@needs_compiler
def test_other_dtypes_keep_the_pure_path():
    block = randomize(SplitAttentionConv(24, 48))
    assert use_native(block)
    block.cast('float64')
    assert block(mx.nd.ones((1, 48, 3, 3), dtype='float64')).dtype == np.float64
    assert use_native(block) is False
    assert not block.native


def test_other_devices_keep_the_pure_path(monkeypatch):
    block = randomize(SplitAttentionConv(24, 48))
    monkeypatch.setattr(mx.gluon.Parameter, 'list_ctx', lambda self: [mx.gpu(0)])
    assert use_native(block) is False


@needs_compiler
def test_builds_once_into_a_clean_folder(quick_compiler, tmp_path, monkeypatch):
    monkeypatch.setenv('RESNEST_CACHE', str(tmp_path / 'new'))
    path = native.build()
    before = path.stat().st_mtime_ns
    assert native.build() == path
    assert path.stat().st_mtime_ns == before
    assert list(path.parent.iterdir()) == [path]


@needs_compiler
def test_processes_may_build_at_the_same_time(quick_compiler, tmp_path):
    code = 'import resnest.gluon; from resnest.gluon.nn import native; print(native.load())'
    runs = [subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True, cwd='/',
                             env={**os.environ, 'PYTHONPATH': str(ROOT), 'RESNEST_CACHE': str(tmp_path)})
            for _ in range(3)]
    assert [run.communicate()[0].split() for run in runs] == [['True']] * 3
    assert len(list(tmp_path.iterdir())) == 1


FALLBACK = """
import mxnet, resnest.gluon
from resnest.gluon.nn import SplitAttentionConv, native, use_native
block = SplitAttentionConv(4, 8)
block.initialize()
print(native.available(), native.load(), use_native(block), block(mxnet.nd.ones((2, 8, 3, 3))).shape[1])
"""


def test_the_environment_turns_it_off():
    assert python(FALLBACK, RESNEST_NATIVE='0') == ['False', 'False', 'False', '4']


def test_without_a_compiler_everything_works(tmp_path):
    assert python(FALLBACK, CXX='no-such-compiler', RESNEST_CACHE=str(tmp_path)) == ['False', 'False', 'False', '4']


def test_build_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv('RESNEST_CACHE', str(tmp_path))
    monkeypatch.setenv('CXX', 'no-such-compiler')
    with pytest.raises(MissingPackage, match='^CXX=no-such-compiler names no'):
        native.build()
    monkeypatch.setenv('CXX', 'false')
    with pytest.raises(InputError, match='cannot compile'):
        native.build()
    assert list(tmp_path.iterdir()) == []


@needs_compiler
def test_a_damaged_library_is_reported_and_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv('RESNEST_CACHE', str(tmp_path))
    native.library().write_bytes(b'not a library')
    reported = 'import sys, warnings; warnings.showwarning = lambda message, *_: print(message)\n'
    found = python(reported + FALLBACK)
    assert ' '.join(found).startswith(f'without the native operators: {native.library()}: file too short')
    assert found[-4:] == ['False', 'False', 'False', '4']
    assert found.count('without') == 1


@needs_compiler
def test_compiling_is_the_only_thing_that_available_leaves_out(quick_compiler, tmp_path):
    code = 'from resnest.gluon.nn import native\nprint(native.available(), native.load(), native.available())'
    assert python('import resnest.gluon\n' + code, RESNEST_CACHE=str(tmp_path)) == ['False', 'True', 'True']


@needs_compiler
def test_a_folder_that_cannot_be_written_is_reported_and_left_out(tmp_path):
    (tmp_path / 'file').touch()
    quiet = 'import warnings; warnings.simplefilter("ignore")\n'
    found = python(quiet + FALLBACK, RESNEST_CACHE=str(tmp_path / 'file'))
    assert found == ['False', 'False', 'False', '4']


@pytest.mark.parametrize('compiler', [pytest.param({}, marks=needs_compiler), {'CXX': 'no-such-compiler'}], ids=str)
def test_the_command_compiles_or_gives_a_notice(tmp_path, compiler, quick_compiler):
    done = subprocess.run([sys.executable, '-m', 'resnest.gluon.nn.native'], capture_output=True, text=True, cwd='/',
                          env={**os.environ, 'PYTHONPATH': str(ROOT), 'RESNEST_CACHE': str(tmp_path), **compiler})
    if compiler:
        assert done.returncode == 1
        assert done.stderr.startswith('notice: CXX=no-such-compiler names no C++ compiler')
    else:
        assert (done.returncode, len(list(tmp_path.iterdir()))) == (0, len(native.LIBRARIES))
        assert str(tmp_path) in done.stdout
