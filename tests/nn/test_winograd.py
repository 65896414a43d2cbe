"""Winograd's convolution against a plain one in float64, in every layout, with AVX-512 and without."""
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.inference.passes.winograd import transformed
from resnest.gluon.nn import native

from ..conftest import needs_compiler
from .layouts import LAYOUTS, of_onednn, plain

pytestmark = needs_compiler
# Images, channels, filters, groups, height, width and dilation. On a CPU with AVX-512 oneDNN keeps 512 channels and
# more in blocks of 16, others last; without it, in blocks of 8. 48 filters are three panels, 112 are seven.
CASES = [(1, 32, 32, 1, 1, 1, 1), (2, 32, 48, 1, 7, 7, 1), (3, 64, 128, 2, 9, 6, 1), (1, 96, 224, 2, 5, 13, 1),
         (1, 64, 64, 4, 8, 4, 1), (1, 512, 144, 1, 6, 5, 1), (1, 512, 64, 2, 3, 4, 1), (8, 32, 16, 1, 4, 4, 1),
         (1, 32, 32, 1, 13, 10, 2), (2, 64, 32, 2, 11, 18, 4), (1, 32, 32, 1, 2, 3, 5)]


@pytest.fixture(scope='module')
def operator():
    assert native.load(name='winograd_convolution')
    return mx.nd.winograd_convolution


def inputs(images, channels, filters, groups, height, width, dilation):
    """x, kernels and bias."""
    rng = np.random.default_rng(channels + height)
    weight = rng.normal(0, (2 / 9 / channels * groups) ** 0.5, (filters, channels // groups, 3, 3))
    return [each.astype('float32') for each in (rng.normal(size=(images, channels, height, width)), weight,
                                                rng.normal(size=filters))]


def expected(x, weight, bias, groups, dilation):
    x, weight = x.astype('float64'), weight.astype('float64')
    height, width = x.shape[2:]
    x = np.pad(x, [(0, 0), (0, 0), (dilation, dilation), (dilation, dilation)])
    places = range(0, 3 * dilation, dilation)
    parts = zip(np.split(x, groups, axis=1), np.split(weight, groups))
    return bias[:, None, None] + np.concatenate([
        sum(np.einsum('nchw,kc->nkhw', part[:, :, top:top + height, left:left + width], kernel[:, :, i, j])
            for i, top in enumerate(places) for j, left in enumerate(places))
        for part, kernel in parts], axis=1)


def call(operator, x, weight, bias, groups=1, dilation=1, relu=0, **keywords):
    return operator(x, mx.nd.array(transformed(weight)), mx.nd.array(bias), groups=groups, dilation=dilation, relu=relu,
                    **keywords)


def near(found, wanted):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 2e-5 * np.abs(wanted).max()


@pytest.mark.parametrize('case', CASES, ids=str)
@LAYOUTS
def test_equals_the_plain_convolution(operator, layout, case):
    x, weight, bias = inputs(*case)
    groups, dilation = case[3], case[6]
    wanted = expected(x, weight, bias, groups, dilation)
    near(call(operator, layout(x), weight, bias, groups, dilation).asnumpy(), wanted)
    near(call(operator, layout(x), weight, bias, groups, dilation, relu=1).asnumpy(), np.maximum(wanted, 0))


@LAYOUTS
def test_views(operator, layout):
    x, weight, bias = inputs(4, 32, 32, 1, 5, 6, 1)
    wanted = expected(x, weight, bias, 1, 1)
    near(call(operator, layout(x)[1:3], weight, bias).asnumpy(), wanted[1:3])
    whole = mx.nd.full((7, 32, 5, 6), 9)
    call(operator, layout(x), weight, bias, out=whole[2:6])
    near(whole[2:6].asnumpy(), wanted)
    assert (whole.asnumpy()[[0, 1, 6]] == 9).all()


@LAYOUTS
def test_in_place(operator, layout):
    numbers, weight, bias = inputs(2, 32, 32, 1, 5, 6, 1)
    x = layout(numbers)
    call(operator, x, weight, bias, out=x)
    near(x.asnumpy(), expected(numbers, weight, bias, 1, 1))


def test_several_threads_at_once_and_one_after_the_other(operator):
    cases = [inputs(*case) for case in CASES[1:5]]

    def step(number):
        x, weight, bias = cases[number % 4]
        layout = (plain, of_onednn)[number // 4 % 2]
        return call(operator, layout(x), weight, bias, CASES[number % 4 + 1][3]).asnumpy().tobytes()

    wanted = [step(number) for number in range(24)]
    assert wanted[:4] == wanted[4:8]        # the layout changes no bit
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(step, range(24))) == wanted


@pytest.mark.parametrize('change', [dict(groups=0), dict(groups=3), dict(dilation=0), dict(channels=48),
                                    dict(dtype='float64'), dict(filters=31)], ids=str)
def test_refuses_what_does_not_fit(operator, change):
    settings = {'channels': 32, 'filters': 32, 'dtype': 'float32', **change}
    x = mx.nd.zeros((1, settings.pop('channels'), 4, 4), dtype=settings.pop('dtype'))
    bias = mx.nd.zeros(settings.pop('filters'))
    with pytest.raises(mx.MXNetError, match='winograd_convolution'):
        operator(x, mx.nd.zeros((36, 2, 32, 16)), bias, **{'groups': 1, 'relu': 0, **settings}).wait_to_read()


@pytest.mark.slow
def test_without_avx512(tmp_path):
    """The fast tests of this file, compiled for CPUs that have no AVX-512, where oneDNN has other layouts too."""
    compiler = f"{os.environ.get('CXX') or 'g++'} -mno-avx512f"
    environment = {**os.environ, 'CXX': compiler, 'RESNEST_CACHE': str(tmp_path), 'DNNL_MAX_CPU_ISA': 'AVX2'}
    command = [sys.executable, '-m', 'pytest', '-q', '-m', 'not slow', '-p', 'no:cacheprovider', __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:]
    assert [path.name for path in tmp_path.glob('winograd_convolution-*.so')]
