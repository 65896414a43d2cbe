"""The operators of detection with boxes and offsets of every kind, as damaged weights give them, against slow loops."""
import mxnet as mx
import numpy as np

from resnest.gluon.nn import RoIAlign

from ..nn import formulas

ODD = (np.nan, np.inf, -np.inf, 1e9, -1e9, 3e38, -3e38, 1e20, 1e-38, -1e-45)


def case(rng, folder):
    (regions,)[rng.integers(1)](rng)


def any_region(rng, images, width, height, scale=0.5):
    """A region and what it is: 'sound', 'none' (which gives zeros), or any number in any place ('odd')."""
    image = float(rng.integers(images))
    corners = np.sort(rng.uniform(-0.9, 1.9, (2, 2)), axis=0) * (width / scale, height / scale)
    box = corners.reshape(-1)
    kind = rng.integers(8)
    if kind < 3:
        return [image, *box], 'sound'
    if kind == 3:       # no image's index
        return [float(rng.choice([-1, images, 0.5, np.nan, np.inf, -3e38, 1e9])), *box], 'none'
    if kind == 4:       # its end before its start
        return [image, *box[[2, 1, 0, 3]]], 'none'
    if kind == 5:
        box[rng.integers(4)] = np.nan
        return [image, *box], 'none'
    if kind == 6:       # empty: nothing, or a line of samples
        box[2:] = np.where(rng.permutation([True, rng.integers(2)]), box[:2], box[2:])
        return [image, *box], 'odd'
    places = rng.integers(5, size=int(rng.integers(1, 5)))
    region = np.array([image, *box])
    region[places] = rng.choice(ODD, len(places))
    return list(region), 'odd'


def regions(rng):
    """RoIAlign: sound regions have their values beside others, nothing is infinite, and nothing ends the process."""
    images, height, width = map(int, rng.integers(1, 12, 3))
    scale, ratio, size = float(rng.choice([1, 0.5, 0.25, 0.03125])), int(rng.integers(0, 4)), int(rng.integers(1, 6))
    drawn = [any_region(rng, images, width, height, scale) for _ in range(int(rng.integers(1, 30)))]
    maps = rng.normal(size=(images, int(rng.integers(1, 4)), height, width))
    layer = RoIAlign(size, scale, ratio)
    layer.hybridize(bool(rng.integers(2)))
    inputs = mx.nd.array(maps)
    inputs.attach_grad()
    with mx.autograd.record():
        found = layer(inputs, mx.nd.array([region for region, _ in drawn]))
    head = rng.normal(size=found.shape)
    found.backward(mx.nd.array(head))
    values, gradient = found.asnumpy(), inputs.grad.asnumpy()
    assert np.isfinite(values).all(), 'not a number'
    assert np.isfinite(gradient).all(), 'a gradient that is not a number'
    assert abs((values * head).sum() - (gradient * maps).sum()) < 1e-3 * values.size, 'the gradient does not fit'
    for mine, (region, kind) in zip(values, drawn):
        if kind == 'none':
            assert (mine == 0).all(), f'{region} gives values'
        elif kind == 'sound':
            wanted = formulas.roi_align(maps, np.float32([region]), size, scale, ratio)[0]
            assert np.abs(mine - wanted).max() < 1e-3, f'{region} gives other values'
