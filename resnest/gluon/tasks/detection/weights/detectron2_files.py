"""Weights with Detectron2's names to Gluon's.

Detectron2 names arrays as PyTorch does, and has the layouts of ours: the arrays stay as they are.
"""
import re

import numpy as np

from resnest.errors import InputError
from resnest.gluon.mxnet_private import structural_parameters
from resnest.reading import one_line

from ..table import BASELINES
from .counting import base_hint

__all__ = ['BACKBONE', 'detectron2_names', 'fitting', 'from_detectron2', 'to_detectron2']

NORM = {'gamma': 'weight', 'beta': 'bias'}
STEM = {'0': 'conv1_1', '1': 'conv1_1.norm', '3': 'conv1_2', '4': 'conv1_2.norm', '6': 'conv1_3'}
BACKBONE = 'backbone.bottom_up.'
# What Detectron2's files hold besides the weights, and what its settings say.
BESIDE = re.compile(r'.*\.num_batches_tracked|pixel_(mean|std)|proposal_generator\.anchor_generator\..*')


def from_detectron2(arrays, net, source='the weights', free=()):
    """The arrays of a detector under Detectron2's names as ``{name: float32 array}`` under the names of ``net``.

    Counters, pixel statistics and anchors that such files hold are passed over. Raises InputError, which begins with
    ``source``, with a list of what is missing, left over or of another shape; the names of ``net`` that are ``free``
    may be missing, or of another shape.
    """
    return fitting(arrays, net, detectron2_names(net), BESIDE, source, free)


def fitting(arrays, net, names, beside, source, free=()):
    """The arrays by the names of ``net`` instead of those in ``names``, in float32; names that the expression
    ``beside`` fits are passed over. Raises InputError as :func:`from_detectron2`."""
    shapes = {name: param.shape for name, param in structural_parameters(net).items()}
    known = {*names.values()}
    left = [name for name in arrays if name not in known and not beside.fullmatch(name)]
    missing = [theirs for name, theirs in names.items() if theirs not in arrays and name not in free]
    there = {name: theirs for name, theirs in names.items() if theirs in arrays}
    differing = [f'{one_line(theirs, 100)} {tuple(arrays[theirs].shape)} instead of {shapes[name]}'
                 for name, theirs in there.items() if tuple(arrays[theirs].shape) != shapes[name] and name not in free]
    kinds = [f'{theirs} {arrays[theirs].dtype}' for theirs in there.values() if arrays[theirs].dtype.kind != 'f']
    problems = [f'{what} {_listed(names)}' for what, names in
                (('missing:', missing), ('left over:', left), ('of another shape:', differing),
                 ('not floating-point:', kinds)) if names]
    if problems:
        hint = base_hint(arrays, net.spec)
        raise InputError(f'{one_line(source)}: not of {net.spec.name}; {hint}' + one_line('; '.join(problems), 1200))
    return {name: np.ascontiguousarray(arrays[theirs], '<f4') for name, theirs in there.items()}


def to_detectron2(arrays, net):
    """The inverse of :func:`from_detectron2`."""
    return {theirs: np.ascontiguousarray(arrays[name], '<f4')
            for name, theirs in detectron2_names(net).items()}


def detectron2_names(net):
    """``{name: Detectron2's name}`` of a detector's parameters."""
    return {name: _theirs(name, net.spec) for name in structural_parameters(net)}


def _theirs(name, spec):
    part, _, rest = name.partition('.')
    if part == 'backbone':
        return BACKBONE + _in_backbone(rest, spec.base in BASELINES)
    owner, _, leaf = rest.rpartition('.')
    leaf = NORM.get(leaf, leaf)
    if part == 'fpn':
        return f'backbone.fpn_{_flat(owner)}.{leaf}'
    if part == 'rpn':
        owner = {'conv': 'conv', 'logits': 'objectness_logits', 'deltas': 'anchor_deltas'}[owner]
        return f'proposal_generator.rpn_head.{owner}.{leaf}'
    if part == 'semantic_head':
        return f'sem_seg_head.{"predictor" if owner == "logits" else _flat(owner)}.{leaf}'
    if part == 'mask_head':
        body = re.fullmatch(r'body\.(\d+)(\..*)', owner)
        owner = f'mask_fcn{int(body[1]) + 1}{_flat(body[2])}' if body else {'logits': 'predictor'}.get(owner, owner)
        return f'roi_heads.mask_head.{owner}.{leaf}'
    stage, _, owner = owner.partition('.')
    stage = f'{stage}.' if len(spec.ious) > 1 else ''
    if owner in ('logits', 'deltas'):
        return f'roi_heads.box_predictor.{stage}{"cls_score" if owner == "logits" else "bbox_pred"}.{leaf}'
    _, place, *inner = owner.split('.', 2)
    place = int(place) + 1
    layer = f'conv{place}{_flat("." + inner[0])}' if inner else f'fc{place - spec.box_convolutions}'
    return f'roi_heads.box_head.{stage}{layer}.{leaf}'


def _flat(owner):
    """Without ``.conv``: a normalization is part of its convolution there, ``lateral2.norm``."""
    return owner.removesuffix('.conv')


def _in_backbone(name, plain):
    owner, _, leaf = name.rpartition('.')
    leaf = NORM.get(leaf, leaf)
    first, _, rest = owner.partition('.')
    if first == 'conv1':
        return f'stem.{STEM[rest] if rest else "conv1"}.{leaf}'
    if first == 'bn1':
        return f'stem.{"conv1" if plain else "conv1_3"}.norm.{leaf}'
    stage, (block, layer, *inner) = int(first.removeprefix('layer')) + 1, rest.split('.')
    if layer == 'downsample':
        layer = 'shortcut' if leaf == 'weight' and not name.endswith('gamma') else 'shortcut.norm'
    elif inner:
        layer += '.bn0' if inner == ['bn'] else f'.{inner[0]}'
    elif layer.startswith('bn'):
        layer = f'conv{layer[2:]}.norm'
    return f'res{stage}.{block}.{layer}.{leaf}'


def _listed(names, most=8):
    more = f' … ({len(names)} in all)' if len(names) > most else ''
    return ', '.join(one_line(name, 100) for name in names[:most]) + more
