"""The networks: a table of variants, the network they share, and the ways to make one."""
from . import zoo
from .cost import complexity
from .features import Features
from .resnet import SMALLEST_IMAGE, ResNet
from .variants import VARIANTS, VariantSpec, find_variant, override
from .weights.parameters import count_classes
from .weights.store import load_pretrained
from .zoo import *  # noqa: F403

__all__ = ['Features', 'ResNet', 'SMALLEST_IMAGE', 'VARIANTS', 'VariantSpec', 'complexity', 'count_classes',
           'find_variant', 'load_pretrained', 'override', *zoo.__all__]
