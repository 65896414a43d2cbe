"""Makes a detector by its name."""
import inspect

from resnest.errors import InputError
from resnest.gluon.models import Features, ResNet, VariantSpec, find_variant, override
from resnest.gluon.models.variants import no_such_model
from resnest.reading import did_you_mean, one_line

from .detector import Detector
from .parts.plain_resnet import PlainResNet
from .table import BASELINES, DETECTION, DetectionSpec

__all__ = ['get_model']
