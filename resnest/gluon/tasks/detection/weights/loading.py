"""Weights of detectors and of backbones from files of any format into a network."""
import re

from resnest.errors import InputError
from resnest.gluon.models.weights.names import pytorch_name
from resnest.gluon.models.weights.parameters import load_arrays, read_weights
from resnest.gluon.mxnet_private import structural_parameters
from resnest.reading import one_line

from .detectron2_files import BACKBONE, detectron2_names, fitting, from_detectron2
from .gluoncv_files import from_gluoncv

__all__ = ['count_outputs', 'load_backbone', 'load_file', 'to_ours']

OFFSET = '.conv2_offset.'
# The biases that tell for how many classes and kinds of pixels a file is: ours, Detectron2's, gluoncv's.
OF_CLASSES = ('box_heads.0.logits.bias', 'roi_heads.box_predictor.cls_score.bias',
              'roi_heads.box_predictor.0.cls_score.bias', 'class_predictor.bias')
OF_KINDS = ('semantic_head.logits.bias', 'sem_seg_head.predictor.bias')
NOTHING = re.compile('(?!)')
# What a file of a backbone may hold besides it: a classifier, counters, statistics of pixels.
BESIDE = re.compile(r'(fc|linear|stem\.fc|head)\..*|.*num_batches_tracked|pixel_(mean|std)')


def count_outputs(arrays, source):
    """``{'classes': …, 'kinds': …}`` of a detector's arrays, under any of the names; raises InputError for arrays of
    something else."""
    bias, kinds = (next((arrays[name] for name in names if name in arrays), None) for names in (OF_CLASSES, OF_KINDS))
    if bias is None or bias.ndim != 1 or len(bias) < 2 or kinds is not None and kinds.ndim != 1:
        raise InputError(f'{one_line(source)}: holds no detector; its first names are '
                         f'{", ".join(one_line(name, 100) for name in list(arrays)[:4])}')
    return {'classes': len(bias) - 1, 'kinds': 0 if kinds is None else len(kinds)}


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


def load_file(net, path, ctx=None, other_classes=False):
    """Load the weights in a file of any format and of any of the three names into a detector.

    With ``other_classes`` the last layers start anew where the file is for others. Returns whether they do. Raises
    InputError for a file that cannot be read or does not fit; nothing is loaded then.
    """
    return load_arrays(net, to_ours(read_weights(path), net, path, strict=False), path, ctx, other_classes)


def load_backbone(net, path, ctx=None):
    """Load the weights in a file into the backbone of a detector alone.

    The file may be that of a classifier (``.params`` of ours, ``.pth`` or ``.safetensors`` with PyTorch's names), of a
    backbone with Detectron2's names (bare, or behind ``backbone.bottom_up.``), or of a whole detector. What else it
    holds is passed over; offsets of deformable convolutions start at zero where it has none. Raises InputError for a
    file that cannot be read or does not fit; nothing is loaded then.
    """
    arrays = read_weights(path)
    if any(name.startswith((BACKBONE, 'backbone.')) for name in arrays):
        arrays = {name: array for name, array in arrays.items() if name.startswith('backbone.')
                  and not name.startswith('backbone.fpn_')}
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
    load_arrays(net.backbone, {bare[name]: array for name, array in found.items()}, path, ctx)
