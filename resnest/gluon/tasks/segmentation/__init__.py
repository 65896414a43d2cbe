"""Semantic segmentation: DeepLabV3 and FCN on any backbone of the zoo."""
from .config import SegmentationConfig
from .making import get_model
from .network import Prediction, SegmentationNet
from .segmenting import segment_pictures
from .table import SEGMENTATION, SegmentationSpec
from .training import train
from .verification import verify

__all__ = ['SEGMENTATION', 'Prediction', 'SegmentationConfig', 'SegmentationNet', 'SegmentationSpec', 'get_model',
           'segment_pictures', 'train', 'verify']
