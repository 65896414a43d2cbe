"""ResNeSt for MXNet Gluon: ``from resnest.gluon import resnest50``."""
from resnest.runtime import import_mxnet

import_mxnet()      # threads and compatibility must be settled before mxnet is first imported

from resnest.gluon import models, nn  # noqa: E402
from resnest.gluon.catalogue import get_model, list_models, purge  # noqa: E402
from resnest.gluon.models import (  # noqa: E402
    SMALLEST_IMAGE,
    VARIANTS,
    Features,
    ResNet,
    VariantSpec,
    complexity,
    count_classes,
    find_variant,
    load_pretrained,
    override,
    resnest14,
    resnest26,
    resnest50,
    resnest50_fast_1s1x64d,
    resnest50_fast_1s2x40d,
    resnest50_fast_1s4x24d,
    resnest50_fast_2s1x64d,
    resnest50_fast_2s2x40d,
    resnest50_fast_4s1x64d,
    resnest50_fast_4s2x40d,
    resnest101,
    resnest200,
    resnest269,
)

__all__ = ['models', 'nn', 'Features', 'ResNet', 'SMALLEST_IMAGE', 'VARIANTS', 'VariantSpec', 'complexity',
           'count_classes', 'find_variant', 'get_model', 'list_models', 'load_pretrained', 'override', 'purge',
           'resnest14', 'resnest26', 'resnest50', 'resnest50_fast_1s1x64d', 'resnest50_fast_1s2x40d',
           'resnest50_fast_1s4x24d', 'resnest50_fast_2s1x64d', 'resnest50_fast_2s2x40d', 'resnest50_fast_4s1x64d',
           'resnest50_fast_4s2x40d', 'resnest101', 'resnest200', 'resnest269']
