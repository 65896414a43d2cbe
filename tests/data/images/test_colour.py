"""The colour matrix against the operations one by one."""
import itertools

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from resnest.gluon.data.images.augmentation import Training
from resnest.gluon.data.images.colour import EIGENVALUES, EIGENVECTORS, colour_matrix, jitter_and_light, recoloured
from resnest.gluon.nn import native
from resnest.gluon.tasks.segmentation.data.transforms import RandomCrop

from ...conftest import needs_compiler

LUMA = np.array([0.299, 0.587, 0.114])


def one_by_one(x, steps):
    for kind, factor in steps:
        if kind == 'brightness':
            x = factor * x
        elif kind == 'contrast':
            x = factor * x + (1 - factor) * (x @ LUMA).mean()
        elif kind == 'saturation':
            x = factor * x + (1 - factor) * (x @ LUMA)[..., None]
        else:
            x = x + EIGENVECTORS @ (factor * EIGENVALUES)
    return x


@pytest.mark.parametrize('order', list(itertools.permutations(['brightness', 'contrast', 'saturation'])))
def test_matrix_equals_the_sequence(order):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (9, 11, 3))
    steps = [(kind, rng.uniform(0.6, 1.4)) for kind in order] + [('lighting', rng.normal(0, 0.1, 3))]
    matrix = colour_matrix(steps, x.mean(axis=(0, 1)))
    np.testing.assert_allclose(x @ matrix[:, :3].T + matrix[:, 3], one_by_one(x, steps), rtol=1e-9)


@pytest.mark.parametrize('seed', range(5))
def test_lighting_is_that_of_mxnet(seed):
    """Against mxnet's operator, whose numbers are its own, and its augmenter, which draws from the same normal."""
    rng = np.random.default_rng(seed)
    x = rng.integers(60, 190, (9, 11, 3)).astype('uint8')
    alpha = rng.normal(0, 0.1, 3)
    matrix = colour_matrix([('lighting', alpha)], x.mean(axis=(0, 1)))
    found = x @ matrix[:, :3].T + matrix[:, 3]
    wanted = mx.nd.image.adjust_lighting(mx.nd.array(x), alpha=tuple(alpha)).asnumpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)

    class Draws(np.random.Generator):
        def permutation(self, values):
            return values

        def uniform(self, low, high):
            return 0.0      # no jitter

    np.random.seed(seed)
    wanted = mx.image.LightingAug(0.5, EIGENVALUES, EIGENVECTORS)(mx.nd.array(x)).asnumpy()
    np.random.seed(seed)
    draws = Draws(np.random.PCG64(0))
    draws.normal = np.random.normal
    found = np.asarray(jitter_and_light(Image.fromarray(x), draws, lighting=0.5)).astype(float)
    assert np.abs(found - wanted.clip(0, 255)).max() <= 0.51        # rounded once
    assert (found != x).any()


def test_what_is_drawn_in_which_order():
    """The order of three kinds, their factors, the lighting: applied one by one, to within the rounding of the mean."""
    x = np.random.default_rng(0).integers(60, 160, (9, 11, 3)).astype('uint8')
    for seed in range(30):
        rng = np.random.default_rng(seed)
        kinds = rng.permutation(['brightness', 'contrast', 'saturation'])
        steps = [(kind, 1 + rng.uniform(-0.4, 0.4)) for kind in kinds] + [('lighting', rng.normal(0, 0.1, 3))]
        found = np.asarray(jitter_and_light(Image.fromarray(x), np.random.default_rng(seed)))
        assert np.abs(found - one_by_one(x.astype(float), steps).clip(0, 255)).max() <= 1.01


@pytest.fixture
def compiled():
    """The native function, where it was not there before, too."""
    native.build('colour_matrix')
    native.function.cache_clear()
    assert native.function('colour_matrix')


@needs_compiler
@pytest.mark.parametrize('size', [(1, 1), (5, 3), (64, 4), (257, 3), (224, 224)], ids=str)
def test_the_native_matrix_has_the_bytes_of_pillows(compiled, size):
    rng = np.random.default_rng(size)
    for _ in range(40):
        image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3)).astype('uint8'))
        matrix = rng.normal(0, 1, (3, 4)) * [1, 1, 1, 100]
        np.testing.assert_array_equal(recoloured(image, matrix), image.convert('RGB', matrix.ravel().tolist()))


@needs_compiler
def test_the_same_pixels_without_it(compiled, monkeypatch):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 48, 3)).astype('uint8'))
    found = []
    for _ in range(2):
        found.append([jitter_and_light(image, np.random.default_rng(seed)) for seed in range(20)])
        monkeypatch.setattr('resnest.gluon.data.images.colour.function', lambda name: None)
    np.testing.assert_array_equal(*found)


def test_it_can_be_turned_off_and_may_be_missing(monkeypatch, tmp_path):
    def found(**environment):
        native.function.cache_clear()
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return native.function('colour_matrix')

    assert found(RESNEST_NATIVE='0') is None
    assert found(RESNEST_NATIVE='1', RESNEST_CACHE=str(tmp_path)) is None
    native.library('colour_matrix').write_bytes(b'not a library')
    assert found() is None
    native.function.cache_clear()


@needs_compiler
@pytest.mark.parametrize('make', [Training, RandomCrop])
def test_a_transform_with_jitter_compiles_it(monkeypatch, tmp_path, make):
    folder = tmp_path / make.__name__       # of another name than the other's library, which stays loaded
    monkeypatch.setenv('RESNEST_CACHE', str(folder))
    monkeypatch.setattr(native.building, 'FLAGS', ('-O0', *native.building.FLAGS[1:]))
    native.function.cache_clear()
    assert native.function('colour_matrix') is None
    make(32, jitter=0.0)
    monkeypatch.setenv('RESNEST_NATIVE', '0')
    make(32, jitter=0.4)
    assert not folder.exists()
    monkeypatch.setenv('RESNEST_NATIVE', '1')
    make(32, jitter=0.4)
    assert native.function('colour_matrix')
    native.function.cache_clear()


def test_without_a_compiler_nothing_is_said(monkeypatch, tmp_path, recwarn):
    monkeypatch.setenv('RESNEST_CACHE', str(tmp_path))
    for compiler in ('no-such-compiler', 'false'):
        monkeypatch.setenv('CXX', compiler)
        Training(32)
    assert not recwarn.list


def test_eigenvectors_are_orthonormal():
    np.testing.assert_allclose(EIGENVECTORS @ EIGENVECTORS.T, np.eye(3), atol=1e-3)


def test_jitter_stays_in_its_range():
    grey = Image.new('RGB', (8, 8), (100, 100, 100))
    values = np.array([np.asarray(jitter_and_light(grey, np.random.default_rng(seed), lighting=0.0))[0, 0]
                       for seed in range(300)])
    assert (values == values[:, :1]).all()      # saturation and contrast leave a grey picture grey
    assert 60 <= values.min() < 65
    assert 135 < values.max() <= 140
    lit = np.array([np.asarray(jitter_and_light(grey, np.random.default_rng(seed), jitter=0.0))[0, 0]
                    for seed in range(2000)]).astype(float)
    wanted = EIGENVECTORS @ np.diag((0.1 * EIGENVALUES) ** 2) @ EIGENVECTORS.T
    np.testing.assert_allclose(np.cov(lit.T), wanted, atol=2.5)
