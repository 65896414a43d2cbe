"""Average precision and panoptic quality, exact over all ranks, and detections at several scales."""
from .coco_figures import average_precision
from .found import Found, gather
from .merging import merged, mirrored_back
from .segments import panoptic_quality, segment_counts

__all__ = ['Found', 'average_precision', 'gather', 'merged', 'mirrored_back', 'panoptic_quality', 'segment_counts']
