"""Where a network looked, and which splits it listened to.

Where: Grad-CAM (Selvaraju et al., 2017, https://arxiv.org/abs/1610.02391, section 3). Which: the weights that
Split-Attention gave its splits (Zhang et al., 2020, section 3.1), selective kernels their paths, and squeeze-excitation
the channels.
"""
from numbers import Integral
from typing import NamedTuple

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import SymbolBlock

from resnest.errors import InputError
from resnest.gluon.checking import check_count, is_number
from resnest.reading import one_line

from ..evaluation import softmax

__all__ = ['Attention', 'Explanation', 'check_request', 'explain', 'grad_cam']

LEAST_MAP = 4       # positions on each side; on a smaller map nothing can be located
STAGES = (1, 2, 3, 4)


class Attention(NamedTuple):
    """Of one block: its stage, and the weights ``(radix, channels)`` of the splits or paths; gates where radix is 1."""
    stage: int
    weights: np.ndarray


class Explanation(NamedTuple):
    """Of one picture: its class and the probability of it, the map ``(h, w)`` from 0 to 1, the stage that the map is
    of, and the :class:`Attention` of each block in turn (none where none weighs)."""
    label: int
    probability: float
    cam: np.ndarray
    stage: int
    attention: list[Attention]


def explain(net, x, labels=None, stage=None):
    """Explain the classes that a network gives to pictures.

    Parameters
    ----------
    net : ResNet
        Hybridized or not, with native operators or without; it is left as it is.
    x : NDArray
        Normalized pictures, ``(N, in_channels, H, W)``.
    labels : list of int
        Classes to explain, the likeliest unless given.
    stage : {1, 2, 3, 4}
        Whose output to map. The last unless given, or for small pictures the last whose map is 4 × 4 or larger.

    Returns a list of :class:`Explanation`. Raises InputError for labels and stages that there are not.
    """
    check_request(labels, stage, len(x), net.fc.weight.shape[0])
    maps, scores, attention = _look_inside(net, x)
    if stage is None:
        stage = max((number for number in STAGES if min(maps[number].shape[2:]) >= LEAST_MAP), default=1)
    shares = softmax(scores.asnumpy())
    labels = shares.argmax(axis=1) if labels is None else labels
    cams = grad_cam(net, maps[stage], labels, stage)
    return [Explanation(int(label), float(shares[n, label]), cams[n] / (cams[n].max() or 1), stage,
                        [Attention(number, weights[n]) for number, weights in attention])
            for n, label in enumerate(labels)]


def check_request(labels, stage, pictures, classes):
    """Raise InputError for labels that are not one class for each picture, and for what is no stage of a network."""
    if labels is not None:
        if isinstance(labels, str) or not hasattr(labels, '__len__') or len(labels) != pictures:
            raise InputError(f'labels must be a list with a class for each of the {pictures} pictures, got '
                             f'{one_line(repr(labels), 60)}')
        for label in labels:
            check_count('a label', label, 0, classes - 1)
    if stage is not None and (not is_number(stage, Integral) or stage not in STAGES):
        raise InputError(f'stage must be one of {", ".join(map(str, STAGES))}, got {one_line(repr(stage), 60)}')


def grad_cam(net, features, labels, stage=4):
    """The sum of the feature maps, each times the mean gradient of the class's logit over it, where positive.

    ``features`` is the output ``(N, C, h, w)`` of a stage, ``labels`` holds N classes; returns ``(N, h, w)``, NumPy.

    Only what follows the stage is recorded. In MXNet 1.9.1 gradients in inference mode are wrong below the max
    pooling of the stem, which no stage is.
    """
    above = mx.sym.var('features', dtype='float32')
    out = above
    for number in STAGES[stage:]:
        out = getattr(net, f'layer{number}')(out)
    out = net.fc(net.flat(net.avgpool(out)))
    head = SymbolBlock(out, above, params=net.collect_params())
    features = features.copy()
    features.attach_grad()
    with autograd.record(train_mode=False):
        chosen = mx.nd.pick(head(features), mx.nd.array(labels, ctx=features.context)).sum()
    gradient, = autograd.grad(chosen, [features], train_mode=False)
    weights = gradient.asnumpy().astype('float64').mean(axis=(2, 3), keepdims=True)
    return np.maximum((weights * features.asnumpy()).sum(axis=1), 0)


def _look_inside(net, x):
    """``({stage: its output}, logits, [(stage, attention (N, radix, C)) for each block])`` in inference mode.

    The network is traced with a symbol and hooks, so that whatever it is hybridized for stays untouched.
    """
    weights, outputs, hooks = [], {}, []
    for stage in STAGES:
        layer = getattr(net, f'layer{stage}')
        hooks.append(layer.register_forward_hook(lambda _, __, out, stage=stage: outputs.update({stage: out})))
        for part in filter(None, (block.attention for block in layer)):
            hooks.append(part.fc2.register_forward_hook(lambda _, __, out, stage=stage, part=part: weights.append(
                (stage, part.radix, part.attention(mx.sym, out)))))
    try:
        data = mx.sym.var('data', dtype='float32')
        logits = net(data)
    finally:
        for hook in hooks:
            hook.detach()
    inside = [outputs[stage] for stage in STAGES] + [logits] + [symbol for *_, symbol in weights]
    found = SymbolBlock(inside, data, params=net.collect_params())(x)
    maps, scores, attention = dict(zip(STAGES, found)), found[len(STAGES)], found[len(STAGES) + 1:]
    return maps, scores, [(stage, np.reshape(array.asnumpy(), (len(x), radix, -1)))
                          for (stage, radix, _), array in zip(weights, attention)]
