"""RoIAlign against torchvision and a slow loop, and with regions that are none."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.nn import RoIAlign

from ..fuzz.detection_operators import any_region
from .formulas import roi_align, torchvision_case


def output_and_gradient(layer, maps, regions, head):
    maps = mx.nd.array(maps)
    maps.attach_grad()
    with mx.autograd.record():
        pooled = layer(maps, mx.nd.array(regions))
    pooled.backward(mx.nd.array(head))
    return pooled.asnumpy(), maps.grad.asnumpy()


@pytest.mark.parametrize('hybrid', [False, True])
@pytest.mark.parametrize('name', 'abcd')
def test_equals_torchvision(name, hybrid):
    case = torchvision_case(f'roi_{name}')
    size, scale, ratio = case['args']
    layer = RoIAlign(int(size), float(scale), int(ratio))
    layer.hybridize(hybrid)
    pooled, gradient = output_and_gradient(layer, case['data'], case['rois'], case['head_grad'])
    np.testing.assert_allclose(pooled, case['out'], atol=2e-5)
    np.testing.assert_allclose(gradient, case['data_grad'], atol=2e-5)


@pytest.mark.parametrize('ratio', [0, 1, 3])
def test_equals_a_loop(ratio):
    rng = np.random.default_rng(ratio)
    maps = rng.normal(size=(2, 2, 6, 9))
    corners = rng.uniform(-20, 45, (30, 2, 2))
    regions = np.concatenate([rng.integers(0, 2, (30, 1)), corners.min(axis=1), corners.max(axis=1)], axis=1)
    found = RoIAlign(3, 0.25, ratio)(mx.nd.array(maps), mx.nd.array(regions)).asnumpy()
    np.testing.assert_allclose(found, roi_align(maps, np.float32(regions), 3, 0.25, ratio), atol=2e-4)


@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('hybrid', [False, True])
def test_a_thousand_regions_of_any_kind(hybrid, ratio):
    """Sound regions among them have their values, what is none gives zeros, and the gradient fits the values."""
    rng = np.random.default_rng(0)
    maps, kinds = rng.normal(size=(3, 2, 5, 7)), [any_region(rng, 3, 7, 5) for _ in range(1000)]
    regions = np.array([region for region, _ in kinds], 'float32')
    layer = RoIAlign(2, 0.5, ratio)
    layer.hybridize(hybrid)
    head = rng.normal(size=(1000, 2, 2, 2))
    pooled, gradient = output_and_gradient(layer, maps, regions, head)
    for kind in ('none', 'sound'):
        assert sum(each == kind for _, each in kinds) > 200
    assert np.isfinite(pooled).all()
    assert np.isfinite(gradient).all()
    for values, region, (_, kind) in zip(pooled, regions, kinds):
        if kind == 'none':
            assert (values == 0).all(), region
        elif kind == 'sound':
            np.testing.assert_allclose(values, roi_align(maps, [region], 2, 0.5, ratio)[0], atol=1e-4)
    assert np.isclose((gradient * maps).sum(), (pooled * head).sum(), rtol=1e-3)      # it is linear in the maps


def test_far_boxes_end_two_maps_away():
    maps = mx.nd.array(np.random.default_rng(0).normal(size=(1, 2, 5, 7)))
    huge = mx.nd.array([[0, -1e30, -np.inf, 1e9, 3e38], [0, 1e20, 0, 1e21, 5], [0, 1, 1, 1 + 1e-8, 5]])
    cut = mx.nd.array([[0, -28, -20, 42, 30], [1, 0, 0, 1, 1], [1, 0, 0, 1, 1]])
    layer = RoIAlign(3, 0.5)
    np.testing.assert_array_equal(layer(maps, huge).asnumpy(), layer(maps, cut).asnumpy())


def test_no_regions():
    with mx.util.np_shape(True):
        assert RoIAlign(3, 0.5)(mx.nd.zeros((1, 2, 5, 7)), mx.nd.zeros((0, 5))).shape == (0, 2, 3, 3)
