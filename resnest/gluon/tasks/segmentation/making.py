"""Makes a segmentation network by its name."""
from dataclasses import replace

import mxnet as mx

from resnest.errors import InputError
from resnest.gluon.models import ResNet, VariantSpec, find_variant, load_pretrained, override
from resnest.gluon.models.resnet import DILATIONS
from resnest.gluon.models.weights.store import ROOT
from resnest.reading import did_you_mean, one_line

from .network import SegmentationNet
from .table import SEGMENTATION, SegmentationSpec

__all__ = ['get_model']

BACKBONE = ('in_channels', 'last_gamma', 'dropblock_prob')
BOTH = ('norm_layer', 'norm_kwargs')
HEADS = ('aux', 'height', 'width', 'prefix', 'params')


def get_model(name, pretrained=False, root=ROOT, ctx=None, pretrained_base=False, **kwargs):
    """Make a segmentation network by the name of its row in the table.

    Parameters
    ----------
    name : str
        One of ``list_models(task='segmentation')``.
    pretrained : bool or str
        True loads the published weights, a path those of a ``.params`` file. With ``pretrained=True`` and other
        ``classes`` than the published ones the last layers of both heads are new, whereas a file must fit.
    root, ctx
        As for :func:`resnest.gluon.models.get_model`.
    pretrained_base : bool or str
        Where nothing else is loaded: True loads the published ImageNet weights of the backbone, a path those of a
        ``.params`` file of the whole classifier; the heads are initialized.
    **kwargs
        ``aux``, ``height`` and ``width`` of :class:`SegmentationNet`; ``in_channels``, ``last_gamma``,
        ``dropblock_prob``, ``norm_layer`` and ``norm_kwargs`` of :class:`resnest.gluon.models.ResNet`; and the fields
        of :class:`SegmentationSpec` (``classes``, ``base``, ``output_stride``, …) and of the backbone's
        :class:`resnest.gluon.models.VariantSpec` (``radix``, …), to override.

    Raises InputError for an unknown name or keyword (with the nearest one), for a value of another type or out of
    range, and for weights that do not fit.
    """
    own = SegmentationSpec.options()
    backbone = [option for option in VariantSpec.options() if option not in own]
    known = [*own, *backbone, *BACKBONE, *BOTH, *HEADS]
    if unknown := next((key for key in kwargs if key not in known), None):
        raise InputError(f"a network has no '{one_line(unknown)}'{did_you_mean(unknown, known)}")
    given = {key: {option: kwargs[option] for option in options if option in kwargs}
             for key, options in (('own', own), ('variant', backbone), ('backbone', BACKBONE), ('both', BOTH),
                                  ('heads', HEADS))}
    for key in ('height', 'width'):
        value = kwargs.get(key)
        if value is not None and (type(value) is not int or not 1 <= value <= 1 << 14):
            raise InputError(f'{key} must be a whole number of pixels up to {1 << 14}, got {one_line(repr(value))}')
    spec = override(_find(name), given['own'])
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
    return net


def _find(name):
    if not isinstance(name, str) or name not in SEGMENTATION:
        raise InputError(f"there is no segmentation network '{one_line(name)}'"
                         f'{did_you_mean(name, SEGMENTATION)}')
    return SEGMENTATION[name]
