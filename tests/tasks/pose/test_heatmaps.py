"""Targets, decoding and the mirror images: loops over pixels, and gluoncv's functions."""
import math

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.tasks.pose.heatmaps import decode, mirror_average, targets
from resnest.gluon.tasks.pose.placing import crop_map, cut, inverse, mirrored, moved, regions

PAIRS = [(1, 2), (3, 4)]


def test_targets_are_gaussians():
    """Pixel by pixel; the fourth joint's square misses the map, the fifth has no weight."""
    points = np.array([[40.0, 60.0], [1.4, 250.0], [190.0, 3.0], [-40.0, 50.0], [60.0, 60.0], [196.9, 9.0]])
    maps, weights = targets(points, [1, 1, 1, 1, 0, 1], (64, 48), 4, 2)
    assert weights.tolist() == [1, 1, 1, 0, 0, 1]
    assert (maps.shape, maps.dtype) == ((6, 64, 48), np.float32)
    for found, (px, py), weight in zip(maps, points, weights):
        x0, y0 = int(px / 4 + 0.5), int(py / 4 + 0.5)
        expected = [[weight * math.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 8) * (max(abs(x - x0), abs(y - y0)) <= 6)
                     for x in range(48)] for y in range(64)]
        np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize('point, weight', [((-30, 0), 0), ((-29, 0), 1), ((214, 9), 0), ((213, 9), 1),
                                           ((1e30, -1e30), 0)])
def test_a_joint_counts_as_long_as_its_square_meets_the_map(point, weight):
    maps, weights = targets([point], [1], (64, 48), 4, 2)
    assert weights[0] == weight == maps.any()


def test_decoding_moves_by_a_quarter():
    maps = np.random.default_rng(0).normal(size=(3, 5, 7, 6))
    maps[0, 0] = -1
    maps[1, :2] = 0
    maps[1, 0, 1, 3] = maps[1, 1, 3, 4] = maps[1, 2, 3, 3] = 9
    points, scores = decode(maps)
    for n, j in np.ndindex(3, 5):
        best = max(maps[n, j].ravel())
        y, x = next((y, x) for y in range(7) for x in range(6) if maps[n, j, y, x] == best)
        expected = [x, y]
        if 1 < x < 5 and 1 < y < 6:
            expected[0] += 0.25 * np.sign(maps[n, j, y, x + 1] - maps[n, j, y, x - 1])
            expected[1] += 0.25 * np.sign(maps[n, j, y + 1, x] - maps[n, j, y - 1, x])
        assert scores[n, j] == np.float32(best)
        assert points[n, j].tolist() == (expected if best > 0 else [0, 0])
    assert decode(np.ones((1, 1, 1, 1)))[0].tolist() == [[[0, 0]]]


def test_gluoncv_decodes_and_mirrors_alike():
    theirs = pytest.importorskip('gluoncv.data.transforms.pose', reason='gluoncv is an extra; make test installs it')
    maps = np.random.default_rng(1).normal(size=(2, 5, 16, 12)).astype('float32')
    back = theirs.flip_heatmap(mx.nd.array(maps[:, :, :, ::-1]), PAIRS, shift=True).asnumpy()
    np.testing.assert_allclose(mirror_average(maps, maps[:, :, :, ::-1], PAIRS), (maps + back) / 2, rtol=1e-6)
    points, scores = decode(maps)
    theirs, best = theirs.get_max_pred(mx.nd.array(maps))       # before the quarter of a pixel
    np.testing.assert_allclose(best.asnumpy().reshape(2, 5), scores, rtol=1e-6)
    assert np.abs(points - theirs.asnumpy()).max() <= 0.25


def test_a_region_holds_its_box():
    centres, widths = regions([[10, 20, 30, 100], [0, 0, 90, 40]], 0.75)
    assert centres.tolist() == [[25, 70], [45, 20]]
    np.testing.assert_allclose(widths, [1.25 * 75, 1.25 * 90])


@pytest.mark.parametrize('angle, mirror', [(0, False), (25, False), (-40, True)])
def test_a_crop_has_the_pixels_of_its_map(angle, mirror):
    """Each pixel of the crop is the bilinear mean of the picture's around the point that the map tells."""
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    placed = crop_map(np.array([22.0, 21.0]), 18.0, (32, 24), angle)
    np.testing.assert_allclose(moved(placed, [12, 16]), [22, 21])
    np.testing.assert_allclose(np.linalg.norm(moved(placed, [24, 16]) - moved(placed, [0, 16])), 18)
    if mirror:
        plain, placed = placed, mirrored(placed, 24)
        np.testing.assert_allclose(moved(placed, [3, 5]), moved(plain, [20, 5]))
    found = cut(picture, placed, (32, 24))
    for x, y in ((12, 16), (3, 9), (20, 28)):
        px, py = moved(placed, [x, y])
        left, top = math.floor(px), math.floor(py)
        a, b = px - left, py - top
        around = picture[top:top + 2, left:left + 2].astype(float)
        expected = np.tensordot(np.outer([1 - b, b], [1 - a, a]), around, 2)
        assert np.abs(found[y, x] - expected).max() <= 1
    points = rng.uniform(0, 24, (5, 2))
    np.testing.assert_allclose(moved(inverse(placed), moved(placed, points)), points)


def test_outside_of_the_picture_is_black():
    found = cut(np.full((8, 8, 3), 200, np.uint8), crop_map(np.zeros(2), 16.0, (16, 16)), (16, 16))
    assert not found[:8].any()
    assert (found[9:, 9:] == 200).all()


def test_what_is_drawn_is_found():
    """From the picture to the maps and back: the middle of a Gaussian lies within half a pixel of the map."""
    rng = np.random.default_rng(3)
    placed = crop_map(np.array([100.0, 120.0]), 80.0, (256, 192), 10)
    points = rng.uniform([90, 100], [110, 140], (6, 2))
    maps, _ = targets(moved(inverse(placed), points), np.ones(6), (64, 48), 4, 2)
    found = moved(crop_map(np.array([100.0, 120.0]), 80.0, (64, 48), 10), decode(maps[None])[0][0])
    assert np.abs(found - points).max() <= 0.6 * 80 / 48
