"""Heat maps: the targets that are learned, and where the joints are that a network tells (Xiao et al., 2018, section 3;
Newell et al., 2016, https://arxiv.org/abs/1603.06937, section 3.3, for the quarter of a pixel)."""
import numpy as np

__all__ = ['decode', 'mirror_average', 'targets']

REACH = 3       # standard deviations to which a Gaussian is drawn


def targets(points, weights, size, stride, sigma):
    """``(maps (J, H, W), weights (J,))``, float32: a Gaussian of height 1 around each joint.

    ``points`` ``(J, 2)`` are x and y in the crop, ``size`` is the height and width of the maps, ``stride`` how many
    pixels of the crop lie between two of theirs, and ``sigma`` is in pixels of the map. The middle of a Gaussian is
    ``int(point / stride + 0.5)``, and it ends three standard deviations from it, in a square. The weight of a joint
    whose square misses the map becomes 0, as its map is; so is that of a joint without a weight.
    """
    maps = np.zeros((len(points), *size), np.float32)
    weights = np.array(weights, np.float32)
    reach = int(REACH * sigma)
    offsets = np.arange(-reach, reach + 1)
    bell = np.exp(-(offsets ** 2 + offsets[:, None] ** 2) / (2 * sigma ** 2))
    limit = 2 * max(size) + 4 * reach       # beyond, there is nothing to draw; and int() takes what is there
    middles = np.trunc((np.asarray(points, np.float64) / stride + 0.5).clip(-limit, limit)).astype(int)
    for joint in np.flatnonzero(weights > 0):
        # Where the square begins and ends on the map, and in the bell.
        start = middles[joint, ::-1] - reach
        low, high = np.maximum(start, 0), np.minimum(start + 2 * reach + 1, size)
        if (high <= low).any():
            weights[joint] = 0
            continue
        inside = tuple(slice(*each) for each in zip(low - start, high - start))
        maps[(joint, *(slice(*each) for each in zip(low, high)))] = bell[inside]
    return maps, weights


def decode(maps):
    """``(points (N, J, 2), scores (N, J))``, float32, of heat maps ``(N, J, H, W)``: x and y of the largest value, and
    that value.

    The point moves by a quarter of a pixel to the higher one of its neighbours, along each axis, if it is more than a
    pixel away from the first row and column and not in the last. Where no value is above 0, the point is (0, 0).
    """
    count, joints, height, width = maps.shape
    flat = maps.reshape(count, joints, -1)
    place, scores = flat.argmax(-1), flat.max(-1)
    x, y = place % width, place // width
    inner = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    n, j = np.indices((count, joints))
    right, below = np.minimum(x + 1, width - 1), np.minimum(y + 1, height - 1)
    left, above = np.maximum(x - 1, 0), np.maximum(y - 1, 0)
    slopes = np.stack([maps[n, j, y, right] - maps[n, j, y, left], maps[n, j, below, x] - maps[n, j, above, x]], -1)
    points = np.stack([x, y], -1) + 0.25 * np.sign(slopes) * inner[..., None]
    return (points * (scores > 0)[..., None]).astype(np.float32), scores.astype(np.float32)


def mirror_average(maps, mirrored, pairs):
    """The mean of heat maps ``(N, J, H, W)`` and of those of the mirror images, turned back.

    ``pairs`` are the joints that change places in a mirror. What is turned back is moved right by a pixel of the map:
    the two are aligned then, as the crop's pixels are not at the middle of the map's (Xiao et al., released code).
    """
    order = np.arange(maps.shape[1])
    for left, right in pairs:
        order[[left, right]] = right, left
    back = mirrored[:, order, :, ::-1].copy()
    back[..., 1:] = back[..., :-1].copy()
    return (maps + back) / 2
