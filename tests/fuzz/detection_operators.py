"""The operators of detection with boxes and offsets of every kind, as damaged weights give them, against slow loops."""
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np

from resnest.gluon.nn import DeformableConv2D, RoIAlign, native, use_native

from ..nn import formulas

ODD = (np.nan, np.inf, -np.inf, 1e9, -1e9, 3e38, -3e38, 1e20, 1e-38, -1e-45)
POOL = ThreadPoolExecutor(4)


def case(rng, folder):
    (regions, deformable)[rng.integers(2)](rng)


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
    use_native(layer, bool(rng.integers(2)))
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


def any_layer(rng):
    """The settings of a deformable convolution, and the shape of its input."""
    groups, parts = int(rng.choice([1, 2, 3])), int(rng.choice([1, 2, 3]))
    channels = groups * parts * int(rng.integers(1, 4))
    kernel, strides, padding, dilation = (tuple(map(int, rng.integers(*limits, 2)))
                                          for limits in ((1, 4), (1, 3), (0, 3), (1, 3)))
    sides = [int(rng.integers(max(1, reach * (taps - 1) + 1 - 2 * pad), 12))
             for reach, taps, pad in zip(dilation, kernel, padding)]
    settings = dict(channels=groups * int(rng.integers(1, 20)), in_channels=channels, kernel_size=kernel,
                    strides=strides, padding=padding, dilation=dilation, groups=groups, deformable_groups=parts)
    return settings, (int(rng.integers(1, 3)), channels, *sides)


def deformable(rng):
    """The native operator and the pure path on several threads agree, with odd offsets too, and with the formula."""
    settings, shape = any_layer(rng)
    kernel, parts = settings['kernel_size'], settings['deformable_groups']
    out = [(side + 2 * pad - reach * (taps - 1) - 1) // step + 1 for side, pad, reach, taps, step in
           zip(shape[2:], settings['padding'], settings['dilation'], kernel, settings['strides'])]
    taps = kernel[0] * kernel[1]
    arrays = [rng.normal(size=shape), rng.normal(0, 3, (shape[0], 2 * parts * taps, *out)),
              rng.uniform(size=(shape[0], parts * taps, *out))][:int(rng.integers(2, 4))]
    odd = rng.integers(3) == 0
    if odd:
        arrays[1].flat[rng.integers(arrays[1].size, size=3)] = rng.choice([*ODD[:-2], -1, 0, *shape[2:]], 3)
    weight = rng.normal(size=(settings['channels'], shape[1] // settings['groups'], *kernel))
    head = rng.normal(size=(shape[0], settings['channels'], *out))
    requests = [str(rng.choice(['write', 'add'])) for _ in arrays]
    assert native.load(name='deformable_convolution'), 'no native operator'

    def run(use):
        layer = DeformableConv2D(**settings)
        layer.initialize()
        layer.native = use
        layer.weight.set_data(mx.nd.array(weight))
        layer.hybridize(bool(settings['channels'] % 2))
        inputs = [mx.nd.array(np.concatenate([value, value]))[len(value):].copy() for value in arrays]
        for each, request in zip(inputs, requests):
            each.attach_grad(request)
        for _ in range(2):
            with mx.autograd.record():
                found = layer(*inputs)
            found.backward(mx.nd.array(head))
        return [each.asnumpy() for each in (found, *(value.grad for value in inputs), layer.weight.grad())]

    pure, *others = POOL.map(run, [False, True, True])
    for found in others:
        # Of a sample that is no number the value shows it; what its gradients are is left open.
        for mine, wanted in zip(found[:1] if np.isnan(arrays[1]).any() else found, pure):
            bound = 1e-4 * max(1, np.abs(np.nan_to_num(wanted)).max())
            np.testing.assert_allclose(mine, wanted, atol=bound, rtol=0)
    if not odd:
        fixed = (settings[name] for name in ('strides', 'padding', 'dilation', 'groups', 'deformable_groups'))
        x, offsets, modulation = [*map(np.float32, arrays), None][:3]
        wanted = formulas.deformable_convolution(x, offsets, modulation, weight, *fixed)
        assert np.abs(pure[0] - wanted).max() < 1e-3, 'another value than the formula'
