"""Weights of detectors and of backbones from files of any format into a network."""
import re

import numpy as np

from resnest.errors import InputError
from resnest.gluon.models.weights.names import pytorch_name
from resnest.gluon.models.weights.parameters import load_arrays, read_weights
from resnest.gluon.mxnet_private import structural_parameters
from resnest.reading import one_line

from .counting import count_outputs
from .detectron2_files import BACKBONE, detectron2_names, fitting, from_detectron2
from .gluoncv_files import from_gluoncv

__all__ = ['backbone_arrays', 'is_backbone', 'load_backbone', 'load_file', 'to_ours']

OFFSET = '.conv2_offset.'
NOTHING = re.compile('(?!)')
# What a detector has besides its backbone: Detectron2's names, ours, gluoncv's.
HEADS = re.compile(r'(roi_heads|proposal_generator|sem_seg_head|backbone\.fpn_.*|box_heads|rpn|fpn|class_predictor|'
                   r'features)\b.*')
# What a file of a backbone may hold besides it: a classifier, counters, statistics of pixels.
BESIDE = re.compile(r'(fc|linear|stem\.fc|head)\..*|.*num_batches_tracked|pixel_(mean|std)')


def to_ours(arrays, net, source, strict=True):
    """Arrays under our names, Detectron2's or gluoncv's as ``{name: array}`` under the names of ``net``.

    Unless ``strict``, the last layers may be for other classes, and the offsets of deformable convolutions may be
    missing: :func:`resnest.gluon.models.weights.parameters.load_arrays` knows what to do then. Raises InputError, with
    a list of what does not fit.
    """
    count_outputs(arrays, source)
    own = structural_parameters(net)
    free = set() if strict else {f'{layer}.{leaf}' for layer in net.classifiers for leaf in ('weight', 'bias')}
    if not strict and not any(OFFSET in name for name in arrays):
        free |= {name for name in own if OFFSET in name}
    if 'class_predictor.bias' in arrays:
        return from_gluoncv(arrays, net, source, free)
    if not any(name.startswith('roi_heads.') for name in arrays):
        return fitting(arrays, net, {name: name for name in own}, NOTHING, source, free)
    return from_detectron2(arrays, net, source, free)


def load_file(net, path, ctx=None, other_classes=False, arrays=None):
    """Load the weights in a file of any format and of any of the three names into a detector; ``arrays`` are those of
    the file where it has been read.

    With ``other_classes`` the last layers start anew where the file is for others. Returns whether they do. Raises
    InputError for a file that cannot be read, does not fit or is not finite; nothing is loaded then.
    """
    arrays = read_weights(path) if arrays is None else arrays
    found = to_ours(arrays, net, path, strict=False)
    _require_finite(found, path)
    return load_arrays(net, found, path, ctx, other_classes)


def load_backbone(net, path, ctx=None):
    """Load the weights in a file into the backbone of a detector alone.

    The file may be that of a classifier (``.params`` of ours, ``.pth`` or ``.safetensors`` with PyTorch's names), of a
    backbone with Detectron2's names (bare, or behind ``backbone.bottom_up.``), or of a whole detector. What else it
    holds is passed over; offsets of deformable convolutions start at zero where it has none. Raises InputError for a
    file that cannot be read or does not fit; nothing is loaded then.
    """
    load_arrays(net.backbone, backbone_arrays(read_weights(path), net, path), path, ctx)


def is_backbone(arrays):
    """Whether no name among arrays is one of what a detector has besides its backbone."""
    return not any(HEADS.fullmatch(name) for name in arrays)


def backbone_arrays(arrays, net, path):
    """The arrays of a file as those of a detector's backbone, under its names, as :func:`load_backbone` loads them."""
    if any(name.startswith((BACKBONE, 'backbone.')) for name in arrays):
        arrays = {name: array for name, array in arrays.items() if name.startswith('backbone.')
                  and not name.startswith('backbone.fpn_')}
    if theirs := next((name for name in arrays if 'branch2a' in name), None):
        raise InputError(f'{one_line(path)}: has the names of Caffe2 ({one_line(theirs, 60)}), as the backbones that '
                         'Detectron2 begins with have; load and save it there first')
    own = [name for name in structural_parameters(net) if name.startswith('backbone.')]
    known = detectron2_names(net)
    bare = {name: name.removeprefix('backbone.') for name in own}
    tables = ({name: name for name in own}, {name: known[name] for name in own}, bare,
              {name: known[name].removeprefix(BACKBONE) for name in own},
              {name: pytorch_name(short) for name, short in bare.items()})
    names = max(tables, key=lambda table: sum(theirs in arrays for theirs in table.values()))
    missing = [theirs for name, theirs in names.items() if theirs not in arrays and OFFSET not in name]
    if len(missing) == len(own):
        raise InputError(f'{one_line(path)}: holds no backbone; its first names are '
                         f'{", ".join(one_line(name, 100) for name in list(arrays)[:4])}')
    offsets = set() if any(OFFSET in name for name in arrays) else {name for name in own if OFFSET in name}
    found = fitting(arrays, net, names, BESIDE, path, offsets)
    _require_finite(found, path)
    return {bare[name]: array for name, array in found.items()}


def _require_finite(arrays, path):
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise InputError(f'{one_line(path)}: {name} is not finite; these weights are of no use, give others')
