"""Makes a pose network by its name."""
import inspect
import os
from dataclasses import replace

import mxnet as mx
from mxnet.gluon import nn

from resnest.errors import InputError
from resnest.gluon.models import ResNet, VariantSpec, find_variant, load_pretrained, override
from resnest.gluon.models.variants import no_such_model
from resnest.gluon.models.weights.choosing import is_file_of_weights, not_described
from resnest.gluon.models.weights.description import read_description
from resnest.gluon.models.weights.store import ROOT
from resnest.gluon.mxnet_private import structural_parameters
from resnest.reading import did_you_mean, one_line

from .describing import know
from .network import TRUNK, PoseNet
from .table import POSE, PoseSpec

__all__ = ['adopt', 'get_model']

BOTH = ('norm_layer', 'norm_kwargs')
BACKBONE = [name for name in inspect.signature(ResNet).parameters
            if name not in ('spec', 'classes', 'dilation', 'kwargs', *BOTH)]


def get_model(name, pretrained=False, root=ROOT, ctx=None, pretrained_base=False, **kwargs):
    """Make a pose network by the name of its row in the table.

    Parameters
    ----------
    name : str
        One of ``list_models(task='pose')``, or the path of a ``.params`` file that is described.
    pretrained : bool or str
        True loads the published weights, a path those of a ``.params`` file. With ``pretrained=True`` and another
        number of ``joints`` than the published one the last layer is new, whereas a file must fit. Weights that are
        described (by the ``best.json`` beside them) say themselves what differs from the row.
    root, ctx
        As for :func:`resnest.gluon.models.get_model`.
    pretrained_base : bool or str
        Where nothing else is loaded: True loads the published ImageNet weights of the backbone, a path those of a
        ``.params`` file of the whole classifier; the rest is initialized.
    **kwargs
        ``in_channels``, ``norm_layer``, ``dropblock_prob``, … of :class:`resnest.gluon.models.ResNet`; and the fields
        of :class:`PoseSpec` (``joints``, ``base``, ``height``, …) and of the backbone's
        :class:`resnest.gluon.models.VariantSpec` (``radix``, …), to override.

    Raises InputError for an unknown name or keyword (with the nearest one), for a value of another type or out of
    range, and for weights that do not fit.
    """
    if is_file_of_weights(name):
        if read_description(name) is None:
            raise not_described(name)
        name, pretrained = None, name
    _check({'pretrained': pretrained, 'pretrained_base': pretrained_base})
    own, description = PoseSpec.options(), None
    if isinstance(pretrained, (str, os.PathLike)) and read_description(pretrained):
        known = know(name, pretrained, {key: kwargs.pop(key) for key in own if key in kwargs})
        name, kwargs, description = known.model, {**known.options, **kwargs}, known.description
    if not isinstance(name, str) or name not in POSE:
        raise no_such_model(name, POSE, 'pose')
    backbone = [option for option in VariantSpec.options() if option not in own]
    known = [*own, *backbone, *BACKBONE, *BOTH]
    if unknown := next((key for key in kwargs if key not in known), None):
        raise InputError(f"a network has no '{one_line(unknown)}'{did_you_mean(unknown, known)}")
    given = {key: {option: kwargs[option] for option in options if option in kwargs}
             for key, options in (('own', own), ('variant', backbone), ('backbone', BACKBONE), ('both', BOTH))}
    spec = override(POSE[name], given['own'])
    base = override(find_variant(spec.base), given['variant'])
    if base != find_variant(spec.base):
        spec = replace(spec, **dict.fromkeys(PoseSpec.still_true))
    trunk = ResNet(base, classes=0, **given['backbone'], **given['both'])
    if pretrained_base and not pretrained:
        load_pretrained(trunk, base, pretrained_base, root, ctx)
    net = PoseNet(trunk, spec, **{'norm_layer': nn.BatchNorm, **given['both']})
    if pretrained:
        load_pretrained(net, spec, pretrained, root, ctx)
    elif pretrained_base:
        for block in (net.deconv_layers, net.final_layer):
            block.initialize(mx.init.Xavier(), ctx=ctx)
    net.description = description
    return net


def adopt(net, trunk):
    """Give the backbone of a :class:`.PoseNet` the values of a ResNet."""
    values = structural_parameters(trunk)
    for place, child in enumerate(TRUNK):
        for name, param in structural_parameters(net.resnet[place]).items():
            param.set_data(values[f'{child}.{name}' if name else child].data())


def _check(values):
    """Refuse values that are no weights."""
    for key, value in values.items():
        if not isinstance(value, (bool, str, os.PathLike, type(None))):
            raise InputError(f'{key} must be True, False or the path of a .params file, got {one_line(repr(value))}')
