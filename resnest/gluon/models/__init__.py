"""The networks: a table of variants, the network they share, and the ways to make one."""
from . import zoo
from .complexity import complexity
from .features import Features
from .parameters import count_classes
from .resnet import SMALLEST_IMAGE, ResNet
from .store import load_pretrained
from .variants import VARIANTS, VariantSpec, find_variant, override
from .zoo import *  # noqa: F403

__all__ = ['Features', 'ResNet', 'SMALLEST_IMAGE', 'VARIANTS', 'VariantSpec', 'complexity', 'count_classes',
           'find_variant', 'load_pretrained', 'override', *zoo.__all__]
