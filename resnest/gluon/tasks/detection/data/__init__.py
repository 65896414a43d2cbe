"""The data of detection: annotations, pictures with their truth, transforms, batches."""
from .coco_set import CocoSet, open_coco
from .loading import CocoLoader, PictureLoader, Unchanged
from .transforms import Training

__all__ = ['CocoLoader', 'CocoSet', 'PictureLoader', 'Training', 'Unchanged', 'open_coco']
