"""The weights of gluoncv's detectors: their names are those of a traced graph, which counts layers by stage."""
import itertools
import re

import numpy as np

from resnest.gluon.mxnet_private import structural_parameters

from .detectron2_files import fitting

__all__ = ['from_gluoncv', 'gluoncv_names']

# The layers of a block in the order in which gluoncv counts convolutions and normalizations.
COUNTED = {'conv1': 'conv', 'bn1': 'syncbatchnorm', 'conv2.conv': 'conv', 'conv2.bn': 'syncbatchnorm',
           'conv2.fc1': 'conv', 'conv2.bn1': 'syncbatchnorm', 'conv2.fc2': 'conv', 'conv3': 'conv',
           'bn3': 'syncbatchnorm'}
STEM = {'conv1.0': 'conv0', 'conv1.1': 'syncbatchnorm0', 'conv1.3': 'conv1', 'conv1.4': 'syncbatchnorm1',
        'conv1.6': 'conv2', 'bn1': 'syncbatchnorm2'}
HEADS = {'rpn.conv': 'rpn.rpn_head.conv1.0', 'rpn.logits': 'rpn.rpn_head.score', 'rpn.deltas': 'rpn.rpn_head.loc',
         'box_heads.0.logits': 'class_predictor', 'box_heads.0.deltas': 'box_predictor'}
BESIDE = re.compile(r'rpn\.anchor_generator\.\d+\.anchors')
EPSILON, USUAL_EPSILON = 1e-3, 1e-5         # of the normalizations in gluoncv's pyramid, and of all others


def from_gluoncv(arrays, net, source='the weights', free=()):
    """The arrays of a ``.params`` file of gluoncv as ``{name: float32 array}`` under the names of ``net``.

    The background, its first class, becomes the last. The normalizations of its pyramid have no scale and another
    epsilon: the scale becomes 1, and the variance what gives the same result. Raises InputError, which begins with
    ``source``, with a list of what is missing, left over or of another shape; the names of ``net`` that are ``free``
    may be missing, or of another shape.
    """
    traced = re.compile(r'features\.[a-z]+\d*_')    # a second network of a process has another prefix
    arrays = {traced.sub('features.', name): array for name, array in arrays.items()}
    found = fitting(arrays, net, gluoncv_names(net), BESIDE, source, free)
    for name, array in found.items():
        if name.startswith('box_heads.0.logits.'):
            found[name] = np.roll(array, -1, axis=0)
        elif name.startswith('fpn.') and name.endswith('.gamma'):
            found[name] = np.ones_like(array)
        elif name.startswith('fpn.') and name.endswith('.running_var'):
            found[name] = array + np.float32(EPSILON - USUAL_EPSILON)
    return found


def gluoncv_names(net):
    """``{name: gluoncv's name}`` of a detector's parameters; the names of the backbone come without their prefix."""
    owners = dict(HEADS)
    for place in range(net.spec.box_convolutions):
        owners[f'box_heads.0.body.{place}.conv'] = f'box_features.{3 * place}'
        owners[f'box_heads.0.body.{place}.norm'] = f'box_features.{3 * place + 1}'
    owners[f'box_heads.0.body.{net.spec.box_convolutions}'] = f'box_features.{3 * net.spec.box_convolutions}'
    counted = {f'backbone.{ours}': theirs for ours, theirs in STEM.items()}
    for stage, blocks in enumerate(net.spec.blocks, 1):
        numbers = {kind: itertools.count() for kind in ('conv', 'syncbatchnorm')}
        for block, (layer, kind) in itertools.product(range(blocks), COUNTED.items()):
            counted[f'backbone.layer{stage}.{block}.{layer}'] = f'layers{stage}_{kind}{next(numbers[kind])}'
        counted[f'backbone.layer{stage}.0.downsample.1'] = f'down{stage}_conv0'
        counted[f'backbone.layer{stage}.0.downsample.2'] = f'down{stage}_syncbatchnorm0'
    for level in range(2, 6):
        counted |= {f'fpn.lateral{level}.conv': f'P{level}_conv_lat', f'fpn.output{level}.conv': f'P{level}_conv1',
                    f'fpn.lateral{level}.norm': 'P5_lat_bn' if level == 5 else f'P{level}_conv1_bn',
                    f'fpn.output{level}.norm': f'P{level}_bn'}
    counted |= {'fpn.top.conv': 'P6_conv1', 'fpn.top.norm': 'P6_pre_bn'}
    names = {}
    for name in structural_parameters(net):
        owner, _, leaf = name.rpartition('.')
        if owner.startswith('fpn.'):
            leaf = leaf.replace('running', 'moving')
        names[name] = f'features.{counted[owner]}_{leaf}' if owner in counted else f'{owners[owner]}.{leaf}'
    return names
