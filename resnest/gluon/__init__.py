"""ResNeSt for MXNet Gluon: ``from resnest.gluon import resnest50``."""
from importlib import import_module
from typing import TYPE_CHECKING

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
    resnet50_v1b,
    resnet50_v1d,
    resnet101_v1b,
    resnet101_v1d,
    resnet152_v1b,
    resnet152_v1d,
    resnext50_32x4d,
    resnext101_32x4d,
    resnext101_64x4d,
    se_resnext50_32x4d,
    se_resnext101_32x4d,
    skresnet50,
    skresnext50_32x4d,
)

if TYPE_CHECKING:
    from resnest.gluon.data import create_transform
    from resnest.gluon.tasks.classification import Predictor

__all__ = ['models', 'nn', 'Features', 'Predictor', 'ResNet', 'SMALLEST_IMAGE', 'VARIANTS', 'VariantSpec', 'complexity',
           'count_classes', 'create_transform', 'find_variant', 'get_model', 'list_models', 'load_pretrained',
           'override', 'purge', 'resnest14', 'resnest26', 'resnest50', 'resnest50_fast_1s1x64d',
           'resnest50_fast_1s2x40d', 'resnest50_fast_1s4x24d', 'resnest50_fast_2s1x64d', 'resnest50_fast_2s2x40d',
           'resnest50_fast_4s1x64d', 'resnest50_fast_4s2x40d', 'resnest101', 'resnest200', 'resnest269', 'resnet50_v1b',
           'resnet50_v1d', 'resnet101_v1b', 'resnet101_v1d', 'resnet152_v1b', 'resnet152_v1d',
           'resnext50_32x4d', 'resnext101_32x4d', 'resnext101_64x4d', 'se_resnext50_32x4d', 'se_resnext101_32x4d',
           'skresnet50', 'skresnext50_32x4d']

# Imported when they are asked for: networks need neither Pillow nor the trainer.
LATER = {'Predictor': 'resnest.gluon.tasks.classification', 'create_transform': 'resnest.gluon.data'}


def __getattr__(name):
    if name not in LATER:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(LATER[name]), name)


def __dir__():
    return sorted({*globals(), *LATER})
