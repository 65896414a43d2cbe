"""Makes a detector by its name."""
import inspect
from dataclasses import replace

from resnest.errors import InputError
from resnest.gluon.models import Features, ResNet, VariantSpec, find_variant, override
from resnest.gluon.models.variants import no_such_model
from resnest.reading import did_you_mean, one_line

from .detector import Detector
from .parts.plain_resnet import PlainResNet
from .table import BASELINES, DETECTION, DetectionSpec

__all__ = ['get_model']

BOTH = ('norm_layer', 'norm_kwargs')
BACKBONE = [name for name in inspect.signature(ResNet).parameters
            if name not in ('spec', 'classes', 'dilation', 'in_channels', 'deformable_stages', 'kwargs', *BOTH)]


def get_model(name, **kwargs):
    """Make a detector by the name of its row in the table, without values: ``initialize`` or ``load_parameters``.

    Parameters
    ----------
    name : str
        One of :data:`DETECTION`.
    **kwargs
        The fields of :class:`DetectionSpec` (``classes``, ``proposals``, ``detections``, …) and of the backbone's
        :class:`resnest.gluon.models.VariantSpec` (``radix``, …), to override; ``norm_layer`` and ``norm_kwargs``, and
        what else :class:`resnest.gluon.models.ResNet` takes (``dropblock_prob``, …).

    Raises InputError for an unknown name or keyword (with the nearest one), and for a value of another type or out of
    range.
    """
    if not isinstance(name, str) or name not in DETECTION:
        raise no_such_model(name, DETECTION)
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
