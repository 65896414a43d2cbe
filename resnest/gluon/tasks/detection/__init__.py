"""Object detection, instance and panoptic segmentation: R-CNNs with a feature pyramid on any backbone of the zoo."""
from .data.categories import Categories, categories_of
from .detector import Detector
from .finding import Detections, detect, each_detections
from .making import get_model
from .table import DETECTION, DetectionSpec

__all__ = ['Categories', 'DETECTION', 'DetectionSpec', 'Detections', 'Detector', 'categories_of', 'detect',
           'each_detections', 'get_model']
