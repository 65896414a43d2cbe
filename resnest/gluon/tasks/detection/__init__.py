"""Object detection, instance and panoptic segmentation: R-CNNs with a feature pyramid on any backbone of the zoo."""
from .config import DetectionConfig
from .data.categories import Categories, categories_of
from .detector import Detector
from .finding import Detections, detect, each_detections
from .making import get_model
from .optimizing import optimize_detector
from .picturing import detect_pictures
from .table import DETECTION, DetectionSpec
from .training import train
from .verification import verify

__all__ = ['Categories', 'DETECTION', 'DetectionConfig', 'DetectionSpec', 'Detections', 'Detector', 'categories_of',
           'detect', 'detect_pictures', 'each_detections', 'get_model', 'optimize_detector', 'train', 'verify']
