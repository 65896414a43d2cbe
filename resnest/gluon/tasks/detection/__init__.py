"""Object detection, instance and panoptic segmentation: R-CNNs with a feature pyramid on any backbone of the zoo."""
from .detector import Detector
from .making import get_model
from .table import DETECTION, DetectionSpec

__all__ = ['DETECTION', 'DetectionSpec', 'Detector', 'get_model']
