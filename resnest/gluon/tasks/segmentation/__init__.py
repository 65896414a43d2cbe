"""Semantic segmentation: DeepLabV3 and FCN on any backbone of the zoo."""
from .making import get_model
from .network import Prediction, SegmentationNet
from .table import SEGMENTATION, SegmentationSpec

__all__ = ['SEGMENTATION', 'Prediction', 'SegmentationNet', 'SegmentationSpec', 'get_model']
