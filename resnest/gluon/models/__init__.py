"""The networks: a table of variants, the network they share, and the ways to make one."""
from .cost import complexity
from .features import Features
from .resnet import SMALLEST_IMAGE, ResNet
from .variants import VARIANTS, VariantSpec, find_variant, override
from .weights.parameters import count_classes
from .weights.store import load_pretrained
from .zoo import (
    get_model,
    list_models,
    purge,
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

__all__ = ['Features', 'ResNet', 'SMALLEST_IMAGE', 'VARIANTS', 'VariantSpec', 'complexity', 'count_classes',
           'find_variant', 'get_model', 'list_models', 'load_pretrained', 'override', 'purge', 'resnest14', 'resnest26',
           'resnest50', 'resnest50_fast_1s1x64d', 'resnest50_fast_1s2x40d', 'resnest50_fast_1s4x24d',
           'resnest50_fast_2s1x64d', 'resnest50_fast_2s2x40d', 'resnest50_fast_4s1x64d', 'resnest50_fast_4s2x40d',
           'resnest101', 'resnest200', 'resnest269', 'resnet50_v1b', 'resnet50_v1d',
           'resnet101_v1b', 'resnet101_v1d', 'resnet152_v1b', 'resnet152_v1d',
           'resnext50_32x4d', 'resnext101_32x4d', 'resnext101_64x4d', 'se_resnext50_32x4d', 'se_resnext101_32x4d',
           'skresnet50', 'skresnext50_32x4d']
