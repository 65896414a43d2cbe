"""Makes a segmentation network by its name."""
import inspect
import os
from dataclasses import replace

import mxnet as mx
from mxnet.gluon import ParameterDict

from resnest.errors import InputError
from resnest.gluon.models import ResNet, VariantSpec, find_variant, load_pretrained, override
from resnest.gluon.models.resnet import DILATIONS
from resnest.gluon.models.variants import no_such_model
from resnest.gluon.models.weights.choosing import is_file_of_weights, not_described
from resnest.gluon.models.weights.description import read_description
from resnest.gluon.models.weights.parameters import read_parameters
from resnest.gluon.models.weights.params_file import read_shapes
from resnest.gluon.models.weights.store import ROOT
from resnest.reading import did_you_mean, one_line

from .describing import know
from .network import AUXILIARY, SegmentationNet
from .table import SEGMENTATION, SegmentationSpec

__all__ = ['get_model']

BOTH = ('norm_layer', 'norm_kwargs')
BACKBONE = [name for name in inspect.signature(ResNet).parameters
            if name not in ('spec', 'classes', 'dilation', 'kwargs', *BOTH)]
MOST_PIXELS = 1 << 14
PIXELS = f'a whole number of pixels up to {MOST_PIXELS}'
HEADS = ('aux', 'height', 'width', 'prefix', 'params')


def get_model(name, pretrained=False, root=ROOT, ctx=None, pretrained_base=False, **kwargs):
    """Make a segmentation network by the name of its row in the table.

    Parameters
    ----------
    name : str
        One of ``list_models(task='segmentation')``, or the path of a ``.params`` file that is described.
    pretrained : bool or str
        True loads the published weights, a path those of a ``.params`` file. With ``pretrained=True`` and other
        ``classes`` than the published ones the last layers of both heads are new, whereas a file must fit. Weights that
        are described (by the ``best.json`` beside them) say themselves what differs from the row. A file that has no
        auxiliary head makes a network without one, unless ``aux`` is given.
    root, ctx
        As for :func:`resnest.gluon.models.get_model`.
    pretrained_base : bool or str
        Where nothing else is loaded: True loads the published ImageNet weights of the backbone, a path those of a
        ``.params`` file of the whole classifier; the heads are initialized.
    **kwargs
        ``aux``, ``height`` and ``width`` of :class:`SegmentationNet`; ``in_channels``, ``norm_layer``,
        ``dropblock_prob``, … of :class:`resnest.gluon.models.ResNet`; and the fields
        of :class:`SegmentationSpec` (``classes``, ``base``, ``output_stride``, …) and of the backbone's
        :class:`resnest.gluon.models.VariantSpec` (``radix``, …), to override.

    Raises InputError for an unknown name or keyword (with the nearest one), for a value of another type or out of
    range, and for weights that do not fit.
    """
    if is_file_of_weights(name):
        if read_description(name) is None:
            raise not_described(name)
        name, pretrained = None, name
    if isinstance(pretrained, (str, os.PathLike)) and (name is None or read_description(pretrained)):
        spec_fields = {key: kwargs.pop(key) for key in SegmentationSpec.options() if key in kwargs}
        known = know(name, pretrained, spec_fields)
        name, kwargs, description = known.model, {**known.options, **kwargs}, known.description
    else:
        description = None
    if not isinstance(name, str) or name not in SEGMENTATION:
        raise no_such_model(name, SEGMENTATION, 'segmentation')
    own = SegmentationSpec.options()
    backbone = [option for option in VariantSpec.options() if option not in own]
    known = [*own, *backbone, *BACKBONE, *BOTH, *HEADS]
    if unknown := next((key for key in kwargs if key not in known), None):
        raise InputError(f"a network has no '{one_line(unknown)}'{did_you_mean(unknown, known)}")
    given = {key: {option: kwargs[option] for option in options if option in kwargs}
             for key, options in (('own', own), ('variant', backbone), ('backbone', BACKBONE), ('both', BOTH),
                                  ('heads', HEADS))}
    _check({'pretrained': pretrained, 'pretrained_base': pretrained_base, **given['heads']})
    if isinstance(pretrained, (str, os.PathLike)) and 'aux' not in given['heads']:
        stored = read_parameters(pretrained, read_shapes)
        given['heads']['aux'] = any(key.startswith(f'{AUXILIARY}.') for key in stored)
    spec = override(SEGMENTATION[name], given['own'])
    base = override(find_variant(spec.base), given['variant'])
    if base != find_variant(spec.base):
        spec = replace(spec, **dict.fromkeys(SegmentationSpec.still_true))
    dilation = next(number for number, (strides, _) in DILATIONS.items()
                    if spec.output_stride == 4 * strides[1] * strides[2] * strides[3])
    trunk = ResNet(base, dilation=dilation, **given['backbone'], **given['both'])
    if pretrained_base and not pretrained:
        load_pretrained(trunk, base, pretrained_base, root, ctx)
    net = SegmentationNet(trunk, spec, **given['heads'], **given['both'])
    if pretrained:
        load_pretrained(net, spec, pretrained, root, ctx)
    elif pretrained_base:
        for head in (net.head, net.auxlayer):
            if head is not None:
                head.initialize(mx.init.MSRAPrelu(factor_type='in', slope=0), ctx=net.bn1.gamma.list_ctx())
    net.description = description
    return net


def _check(values):
    """Refuse values that are no weights, no heights and widths, and no settings of Gluon."""
    weights = (bool, str, os.PathLike, type(None)), 'True, False or the path of a .params file'
    kinds = {'pretrained': weights, 'pretrained_base': weights, 'aux': (bool, 'True or False'),
             'height': ((int, type(None)), PIXELS), 'width': ((int, type(None)), PIXELS),
             'prefix': ((str, type(None)), 'a str'), 'params': ((ParameterDict, type(None)), 'a ParameterDict')}
    for key, value in values.items():
        kind, what = kinds[key]
        if not isinstance(value, kind) or what == PIXELS and value is not None and not 1 <= value <= MOST_PIXELS:
            raise InputError(f'{key} must be {what}, got {one_line(repr(value))}')
