"""Winograd's convolution in training against a plain one in float64: the map, and both gradients, however asked for."""
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.nn import native

from ..conftest import needs_compiler
from .layouts import LAYOUTS, of_onednn, plain

pytestmark = needs_compiler
# Images, channels, filters, groups, height, width and dilation. Tiles are taken 48 at a time for the gradient of the
# kernels, or 192 where there are many of these; 48 filters are three panels, 112 are seven.
CASES = [(1, 16, 16, 1, 1, 1, 1), (2, 32, 48, 1, 7, 7, 1), (3, 64, 128, 2, 9, 6, 1), (1, 96, 224, 2, 5, 13, 1),
         (1, 64, 64, 4, 8, 4, 1), (7, 16, 32, 1, 13, 10, 1), (2, 32, 64, 2, 11, 18, 4), (1, 144, 128, 1, 60, 57, 1)]


@pytest.fixture(scope='module')
def operator():
    assert native.load(name='winograd_training')
    return mx.nd.winograd_training


def inputs(images, channels, filters, groups, height, width, dilation=1):
    """x, kernels and the gradient of the output, small and large."""
    rng = np.random.default_rng(channels + height)
    weight = rng.normal(0, (2 / 9 / channels * groups) ** 0.5, (filters, channels // groups, 3, 3))
    return [each.astype('float32') for each in (rng.normal(size=(images, channels, height, width)), weight,
                                                rng.normal(0, 1e-3, (images, filters, height, width)))]


def expected(x, weight, head, groups, dilation=1):
    """The output and the gradients of x and the kernels."""
    x, weight, head = (each.astype('float64') for each in (x, weight, head))
    height, width = x.shape[2:]
    padded = np.pad(x, [(0, 0), (0, 0), (dilation, dilation), (dilation, dilation)])
    y, d_x, d_weight = np.zeros(head.shape), np.zeros(padded.shape), np.zeros(weight.shape)
    inner, outer = weight.shape[1], len(weight) // groups
    for group in range(groups):
        of_x, of_y = slice(group * inner, (group + 1) * inner), slice(group * outer, (group + 1) * outer)
        for i in range(3):
            for j in range(3):
                top, left = i * dilation, j * dilation
                place = (slice(None), of_x, slice(top, top + height), slice(left, left + width))
                y[:, of_y] += np.einsum('nchw,kc->nkhw', padded[place], weight[of_y, :, i, j], optimize=True)
                d_x[place] += np.einsum('nkhw,kc->nchw', head[:, of_y], weight[of_y, :, i, j], optimize=True)
                d_weight[of_y, :, i, j] = np.einsum('nchw,nkhw->kc', padded[place], head[:, of_y], optimize=True)
    return y, d_x[:, :, dilation:-dilation, dilation:-dilation], d_weight


def trained(operator, x, weight, head, groups, dilation=1, requests=('write', 'write'), before=None, steps=1):
    """What :func:`expected` gives, of arrays; a gradient is what ``before`` was where nothing is asked for."""
    leaves = x, mx.nd.array(weight)
    gradients = [mx.nd.zeros_like(leaf) if before is None else mx.nd.full(leaf.shape, before) for leaf in leaves]
    mx.autograd.mark_variables(list(leaves), gradients, list(requests))
    for _ in range(steps):
        with mx.autograd.record():
            y = operator(*leaves, groups=groups, dilation=dilation)
        y.backward(head)
    return [each.asnumpy() for each in (y, *gradients)]


def near(found, wanted):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 2e-5 * np.abs(wanted).max()


@pytest.mark.parametrize('case', CASES, ids=str)
@LAYOUTS
def test_equals_the_plain_convolution(operator, layout, case):
    x, weight, head = inputs(*case)
    for found, wanted in zip(trained(operator, layout(x), weight, layout(head), case[3], case[6]),
                             expected(x, weight, head, case[3], case[6])):
        near(found, wanted)


@pytest.mark.parametrize('requests', [('add', 'add'), ('null', 'write'), ('write', 'null')], ids=str)
@LAYOUTS
def test_requests(operator, layout, requests):
    x, weight, head = inputs(*CASES[2])
    found = trained(operator, layout(x), weight, layout(head), 2, 1, requests, before=3, steps=2)
    for request, gradient, wanted in zip(requests, found[1:], expected(x, weight, head, 2)[1:]):
        near(gradient, {'add': 3 + 2 * wanted, 'null': np.full_like(wanted, 3), 'write': wanted}[request])


@LAYOUTS
def test_views_and_in_place(operator, layout):
    x, weight, head = inputs(4, 32, 32, 1, 5, 6)
    y, d_x, d_weight = expected(x[1:3], weight, head[1:3], 1)
    for found, wanted in zip(trained(operator, layout(x)[1:3], weight, layout(head)[1:3], 1), (y, d_x, d_weight)):
        near(found, wanted)
    whole = mx.nd.full((5, 32, 5, 6), 9)
    operator(layout(x)[1:3], mx.nd.array(weight), groups=1, dilation=1, out=whole[2:4])
    near(whole[2:4].asnumpy(), y)
    assert (whole.asnumpy()[[0, 1, 4]] == 9).all()
    same = layout(x[1:3])
    operator(same, mx.nd.array(weight), groups=1, dilation=1, out=same)
    near(same.asnumpy(), y)


def test_several_threads_at_once_and_one_after_the_other(operator):
    cases = [inputs(*case) for case in CASES[1:5]]

    def step(number):
        x, weight, head = cases[number % 4]
        layout = (plain, of_onednn)[number // 4 % 2]
        groups, dilation = CASES[number % 4 + 1][3], CASES[number % 4 + 1][6]
        return [each.tobytes() for each in trained(operator, layout(x), weight, layout(head), groups, dilation)]

    wanted = [step(number) for number in range(16)]
    assert wanted[:4] == wanted[4:8]        # the layout changes no bit
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(step, range(16))) == wanted


@pytest.mark.parametrize('change', [dict(groups=0), dict(groups=3), dict(dilation=0), dict(channels=40),
                                    dict(filters=40), dict(dtype='float64'), dict(side=5)], ids=str)
def test_refuses_what_does_not_fit(operator, change):
    settings = {'groups': 1, 'dilation': 1, 'channels': 32, 'filters': 32, 'dtype': 'float32', 'side': 3, **change}
    channels, side = settings['channels'], settings['side']
    with pytest.raises(mx.MXNetError, match='winograd_training'):
        operator(mx.nd.zeros((1, channels, 4, 4), dtype=settings['dtype']),
                 mx.nd.zeros((settings['filters'], channels, side, side)), groups=settings['groups'],
                 dilation=settings['dilation']).wait_to_read()


SAME = '''
import mxnet as mx, numpy as np, sys
from resnest.gluon.nn import native
native.load(name='winograd_training')
rng = np.random.default_rng(0)
x, weight = (mx.nd.array(rng.normal(size=shape)) for shape in ((3, 64, 30, 27), (96, 32, 3, 3)))
x.attach_grad(), weight.attach_grad()
with mx.autograd.record():
    y = mx.nd.winograd_training(x, weight, groups=2, dilation=1)
y.backward(y * 1e-3)
for each in (y, x.grad, weight.grad):
    sys.stdout.buffer.write(each.asnumpy().tobytes())
'''


@pytest.mark.slow
def test_the_number_of_threads_changes_no_bit():
    outputs = [subprocess.run([sys.executable, '-c', SAME], env={**os.environ, 'OMP_NUM_THREADS': threads}, check=True,
                              capture_output=True, timeout=100).stdout for threads in ('1', '3')]
    assert len(outputs[0]) > 1e6
    assert outputs[0] == outputs[1]


@pytest.mark.slow
def test_without_avx512(tmp_path):
    """The fast tests of this file, compiled for CPUs that have no AVX-512, where oneDNN has other layouts too."""
    compiler = f"{os.environ.get('CXX') or 'g++'} -mno-avx512f"
    environment = {**os.environ, 'CXX': compiler, 'RESNEST_CACHE': str(tmp_path), 'DNNL_MAX_CPU_ISA': 'AVX2'}
    command = [sys.executable, '-m', 'pytest', '-q', '-m', 'not slow', '-p', 'no:cacheprovider', __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:]
    assert [path.name for path in tmp_path.glob('winograd_training-*.so')]
