"""RoIAlign against torchvision and a slow loop, and with regions that are none: mxnet's operator and the native one."""
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.nn import RoIAlign, use_native
from resnest.gluon.tasks.detection.parts.pooling import RegionPooling

from ..conftest import needs_compiler
from ..fuzz.detection_operators import any_region
from .formulas import roi_align, torchvision_case

either = pytest.mark.parametrize('native', [False, pytest.param(True, marks=needs_compiler)])


def made(native, *args):
    layer = RoIAlign(*args)
    assert use_native(layer, native) == native
    return layer


def output_and_gradient(layer, maps, regions, head):
    maps = mx.nd.array(maps)
    maps.attach_grad()
    with mx.autograd.record():
        pooled = layer(maps, mx.nd.array(regions))
    pooled.backward(mx.nd.array(head))
    return pooled.asnumpy(), maps.grad.asnumpy()


@either
@pytest.mark.parametrize('hybrid', [False, True])
@pytest.mark.parametrize('name', 'abcd')
def test_equals_torchvision(name, hybrid, native):
    case = torchvision_case(f'roi_{name}')
    size, scale, ratio = case['args']
    layer = made(native, int(size), float(scale), int(ratio))
    layer.hybridize(hybrid)
    pooled, gradient = output_and_gradient(layer, case['data'], case['rois'], case['head_grad'])
    np.testing.assert_allclose(pooled, case['out'], atol=2e-5)
    np.testing.assert_allclose(gradient, case['data_grad'], atol=2e-5)


@either
@pytest.mark.parametrize('ratio', [0, 1, 3])
def test_equals_a_loop(ratio, native):
    rng = np.random.default_rng(ratio)
    maps = rng.normal(size=(2, 2, 6, 9))
    corners = rng.uniform(-20, 45, (30, 2, 2))
    regions = np.concatenate([rng.integers(0, 2, (30, 1)), corners.min(axis=1), corners.max(axis=1)], axis=1)
    found = made(native, 3, 0.25, ratio)(mx.nd.array(maps), mx.nd.array(regions)).asnumpy()
    np.testing.assert_allclose(found, roi_align(maps, np.float32(regions), 3, 0.25, ratio), atol=2e-4)


@either
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('hybrid', [False, True])
def test_a_thousand_regions_of_any_kind(hybrid, ratio, native):
    """Sound regions among them have their values, what is none gives zeros, and the gradient fits the values."""
    rng = np.random.default_rng(0)
    maps, kinds = rng.normal(size=(3, 2, 5, 7)), [any_region(rng, 3, 7, 5) for _ in range(1000)]
    regions = np.array([region for region, _ in kinds], 'float32')
    layer = made(native, 2, 0.5, ratio)
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


@either
def test_far_boxes_end_two_maps_away(native):
    maps = mx.nd.array(np.random.default_rng(0).normal(size=(1, 2, 5, 7)))
    huge = mx.nd.array([[0, -1e30, -np.inf, 1e9, 3e38], [0, 1e20, 0, 1e21, 5], [0, 1, 1, 1 + 1e-8, 5]])
    cut = mx.nd.array([[0, -28, -20, 42, 30], [1, 0, 0, 1, 1], [1, 0, 0, 1, 1]])
    layer = made(native, 3, 0.5)
    np.testing.assert_array_equal(layer(maps, huge).asnumpy(), layer(maps, cut).asnumpy())


@either
def test_no_regions(native):
    with mx.util.np_shape(True):
        assert made(native, 3, 0.5)(mx.nd.zeros((1, 2, 5, 7)), mx.nd.zeros((0, 5))).shape == (0, 2, 3, 3)


def of_a_pyramid(native, channels, side, layout, boxes, images):
    """Pooled regions of a small pyramid, and the gradients of its levels after two passes of which the second adds."""
    rng = np.random.default_rng(channels)
    levels = [layout(rng.normal(size=(2, channels, rows, columns)).astype('float32'))
              for rows, columns in ((24, 40), (12, 20), (6, 10), (3, 5))]
    layer = RegionPooling(side)
    assert use_native(layer, native) == native
    for level in levels:
        level.attach_grad('add')
    for _ in range(2):
        with mx.autograd.record():
            pooled = layer([level * 1 for level in levels], boxes, images)
        pooled.backward(mx.nd.array(rng.normal(size=pooled.shape)))
    return [pooled.asnumpy(), *(level.grad.asnumpy() for level in levels)]


def blocked(array):
    """In a layout of oneDNN, which a convolution leaves."""
    identity = mx.nd.array(np.eye(array.shape[1])[:, :, None, None])
    return mx.nd.Convolution(mx.nd.array(array), identity, no_bias=True, kernel=(1, 1), num_filter=array.shape[1])


@needs_compiler
@pytest.mark.parametrize('layout', [mx.nd.array, blocked])
@pytest.mark.parametrize(('channels', 'side'), [(1, 7), (16, 3), (21, 7), (32, 2)])
def test_the_native_operator_pools_a_pyramid(channels, side, layout):
    """At once what mxnet's operator pools level by level, with its gradients; on several threads too."""
    rng = np.random.default_rng(0)
    middle, size = rng.uniform(0, (160, 96), (80, 2)), np.exp(rng.uniform(0, 7, (80, 2)))
    boxes = np.concatenate([middle - size / 2, middle + size / 2], 1).astype('float32')
    boxes[:4] = [[np.nan, 0, 1, 1], [-np.inf, 0, np.inf, 9], [5, 5, 5, 5], [1e30, 0, 3e38, 1]]
    rest = channels, side, layout, boxes, rng.integers(0, 2, 80)
    wanted = of_a_pyramid(False, *rest)
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda _: of_a_pyramid(True, *rest), range(3)):
            for mine, theirs in zip(found, wanted):
                np.testing.assert_allclose(mine, theirs, atol=1e-4)


@needs_compiler
def test_what_the_native_operator_does_not_take():
    maps, regions = mx.nd.zeros((1, 2, 3, 4)), mx.nd.zeros((1, 5))
    for wrong in (lambda: mx.nd.roi_align(maps, regions, size=0, scales=1),
                  lambda: mx.nd.roi_align(maps, regions, size=1), lambda: mx.nd.roi_align(maps, maps, size=1, scales=1),
                  lambda: mx.nd.roi_align(maps, maps, regions, size=1, scales=(1, 2)),
                  lambda: mx.nd.roi_align(maps.astype('float64'), regions, size=1, scales=1)):
        with pytest.raises(mx.MXNetError):
            wrong().wait_to_read()
