"""Makes a detector by its name, and loads or converts the weights of any file of it."""
import inspect
import os
from dataclasses import replace
from pathlib import Path

import mxnet as mx

from resnest.errors import InputError
from resnest.files import save_arrays
from resnest.gluon.models import Features, ResNet, VariantSpec, find_variant, load_pretrained, override
from resnest.gluon.models.variants import no_such_model
from resnest.gluon.models.weights.choosing import is_file_of_weights, not_described
from resnest.gluon.models.weights.conversion import format_of
from resnest.gluon.models.weights.parameters import check_contexts, read_weights
from resnest.gluon.models.weights.store import ROOT, model_file, require_published
from resnest.reading import did_you_mean, one_line

from .data.categories import categories_of
from .describing import counted, described, know, know_described, read_any_description
from .detector import Detector
from .parts.plain_resnet import PlainResNet
from .table import BASELINES, DETECTION, DetectionSpec
from .weights.loading import backbone_arrays, is_backbone, load_backbone, load_file, to_ours
from .weights.published import converted_file
from .weights.writing import FORMATS, write_file

__all__ = ['convert', 'get_model', 'load_base', 'load_weights', 'make']

BOTH = ('norm_layer', 'norm_kwargs')
BACKBONE = [name for name in inspect.signature(ResNet).parameters
            if name not in ('spec', 'classes', 'dilation', 'in_channels', 'deformable_stages', 'kwargs', *BOTH)]


def get_model(name, pretrained=False, root=ROOT, ctx=None, pretrained_base=False, **kwargs):
    """Make a detector by the name of its row in the table.

    Parameters
    ----------
    name : str
        One of ``list_models(task='detection')``, or the path of a ``.params`` file that is described.
    pretrained : bool or str
        True loads the published weights, which are downloaded and converted where they are missing; a path those of a
        file: ``.params`` of ours or of gluoncv, or Detectron2's ``.pth``, ``.pkl`` or ``.safetensors``. With
        ``pretrained=True`` and other ``classes`` (or ``kinds``) than the published ones the last layers are new,
        whereas a file must fit. Weights that are described (by the ``best.json`` beside them) say themselves what
        differs from the row, and bare ones what can be counted (:func:`.weights.counting.fields_told`), unless it is
        given. Otherwise the detector comes without values: call ``initialize`` or ``load_parameters``.
    root, ctx
        As for :func:`resnest.gluon.models.get_model`.
    pretrained_base : bool or str
        Where nothing else is loaded: True loads the published ImageNet weights of the backbone, a path those of a file
        (:func:`.weights.loading.load_backbone`); the rest is initialized.
    **kwargs
        The fields of :class:`DetectionSpec` (``classes``, ``proposals``, ``detections``, …) and of the backbone's
        :class:`resnest.gluon.models.VariantSpec` (``radix``, …), to override; ``norm_layer`` and ``norm_kwargs``, and
        what else :class:`resnest.gluon.models.ResNet` takes (``dropblock_prob``, …).

    Raises InputError for an unknown name or keyword (with the nearest one), for a value of another type or out of
    range, and for weights that cannot be had or do not fit.
    """
    for key, value in (('pretrained', pretrained), ('pretrained_base', pretrained_base)):
        if not isinstance(value, (bool, str, os.PathLike, type(None))):
            raise InputError(f'{key} must be True, False or the path of a file, got {one_line(repr(value))}')
    check_contexts(ctx)
    if is_file_of_weights(name):
        if read_any_description(os.path.expanduser(name)) is None:
            raise not_described(name)
        name, pretrained = None, name
    description = arrays = None
    if pretrained and isinstance(pretrained, (str, os.PathLike)):
        fields = {*DetectionSpec.options(), *VariantSpec.options()}
        asked = {key: kwargs.pop(key) for key in [*kwargs] if key in fields}
        if read_any_description(os.path.expanduser(pretrained)):
            known = know(name, pretrained, asked)
            name, told, description = known.model, known.options, known.description
        else:
            arrays = read_weights(pretrained)
            told = counted(name, arrays, pretrained, asked)
        kwargs = {**told, **kwargs}
    net = make(name, kwargs)
    if arrays is not None:
        load_file(net, pretrained, ctx, arrays=arrays)
    elif pretrained:
        load_weights(net, pretrained, root, ctx)
    elif pretrained_base:
        net.initialize(ctx=ctx)
        load_base(net, pretrained_base, root, ctx)
    net.description = description
    return net


def load_weights(net, pretrained, root=ROOT, ctx=None, other_classes=False):
    """Load the published weights (``pretrained=True``) or those of a file (its path) into a detector.

    A detector for other classes than the published ones keeps its last layers, newly initialized; a file given by its
    path has to fit unless ``other_classes``. Returns whether the last layers are new.
    """
    if isinstance(pretrained, (str, os.PathLike)):
        return load_file(net, pretrained, ctx, other_classes)
    require_published(net.spec)
    path = converted_file(net.spec, root, _convert) if net.spec.archive else model_file(net.spec, root)
    return load_file(net, path, ctx, other_classes=True)


def load_base(net, source, root=ROOT, ctx=None):
    """Load the published ImageNet weights (``source=True``) or those of a file (its path) into a detector's backbone.

    Raises InputError as :func:`.weights.loading.load_backbone`, and for a backbone without published weights.
    """
    if isinstance(source, (str, os.PathLike)):
        load_backbone(net, source, ctx)
    elif net.spec.base in BASELINES:
        raise InputError(f'no ImageNet weights are published for {net.spec.base} here; pass the path of a file')
    else:
        load_pretrained(net.backbone, net.backbone.spec, True, root, ctx)


def convert(source, target, model=None, to=None, options=None):
    """Convert a file of a detector's weights; returns ``(number of arrays, classes)``.

    A file of a backbone alone becomes one that ``pretrained_base`` and ``--resume-params`` take, of no classes.

    Parameters
    ----------
    source : str or Path
        Detectron2's ``.pth``, ``.pkl`` or ``.safetensors``, or a ``.params`` file of ours or of gluoncv, told apart by
        their content.
    target : str or Path
        File to write; complete or not there at all.
    model : str
        The row of the table; what the source tells unless given.
    to : {'params', 'safetensors', 'pkl'}
        Format of the target: Gluon's, or one with Detectron2's names; by its ending unless given.
    options : dict
        Fields in which the network differs from the model's row, which described weights tell themselves, and bare ones
        as far as :func:`.weights.counting.fields_told` can count.

    Raises InputError for a file that cannot be read, with a list of what is missing, left over or of another shape, and
    where neither ``model`` nor the source tells the network; the number of classes may be any. Nothing is written then.
    """
    source, target = (Path(os.path.expanduser(path)) for path in (source, target))
    to = format_of(target, to, FORMATS)
    description, arrays = read_any_description(source), read_weights(source)
    if description:
        known = know_described(source, description, model, options)
        model, values = known.model, known.options
    elif model is None:
        raise InputError(f'{one_line(source)}: does not tell which network it is of; give --model')
    elif is_backbone(arrays):
        if to != 'params':
            raise InputError(f'{one_line(target)}: a backbone alone is converted to .params; give that ending')
        found = backbone_arrays(arrays, make(model, options or {}), source)
        save_arrays(target, {name: mx.nd.array(array) for name, array in found.items()})
        return len(found), 0
    else:
        values = counted(model, arrays, source, options)
    net = make(model, values)
    net.description = description
    ours = to_ours(arrays, net, source)
    made = described(net, categories_of(net))
    if description:
        made = replace(description, options=made.options, sha256=None)
    write_file(target, ours, net, made, to)
    return len(ours), made.classes


def _convert(source, target):
    """Make a described ``.params`` file of a published one, whose name is the target's."""
    net = make(next(name for name, spec in DETECTION.items() if spec.file == target.stem), {})
    write_file(target, to_ours(read_weights(source), net, source), net, described(net, categories_of(net)))


def make(name, kwargs):
    """The detector of a row, with other values of its fields, and without values of its parameters; as
    :func:`get_model`."""
    if not isinstance(name, str) or name not in DETECTION:
        raise no_such_model(name, DETECTION, 'detection')
    own = DetectionSpec.options()
    spec = override(DETECTION[name], {key: value for key, value in kwargs.items() if key in own})
    both = {key: kwargs[key] for key in BOTH if key in kwargs}
    variant = [option for option in VariantSpec.options() if option not in own] if spec.base not in BASELINES else []
    backbone = BACKBONE if spec.base not in BASELINES else []
    known = [*own, *variant, *backbone, *BOTH]
    if unknown := next((key for key in kwargs if key not in known), None):
        raise InputError(f"a network has no '{one_line(unknown)}'{did_you_mean(unknown, known)}")
    if spec.base in BASELINES:
        return Detector(PlainResNet(spec.blocks, spec.stride_first, **both), spec, **both)
    base = override(find_variant(spec.base), {key: kwargs[key] for key in variant if key in kwargs})
    if base != find_variant(spec.base):
        spec = replace(spec, **dict.fromkeys(DetectionSpec.still_true))
    rest = {key: kwargs[key] for key in backbone if key in kwargs}
    if spec.deformable_stages:
        rest['deformable_stages'] = spec.deformable_stages
    return Detector(Features(ResNet(base, **rest, **both)), spec, **both)
