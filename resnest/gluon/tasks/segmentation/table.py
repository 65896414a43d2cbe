"""The published segmentation networks: each row is a network, its weights and its preprocessing.

Figures and files are gluoncv's (https://cv.gluon.ai/model_zoo/segmentation.html); the mIoU of ResNeSt-101, 200 and 269
is also in the README of the paper's project.
"""
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError
from resnest.gluon.models import find_variant
from resnest.gluon.models.rows import GLUONCV_URL, Row
from resnest.reading import one_line

__all__ = ['HEADS', 'SEGMENTATION', 'SegmentationSpec']

HEADS = ('deeplab', 'fcn')
LIMITS = {'classes': (1, 10_000), 'head_channels': (1, 1 << 14),
          'crop_size': (1, 1 << 14), 'base_size': (1, 1 << 14)}
MOST_DILATION = 1000
# What is published of a network holds for another one that differs from it in these alone.
SAME_SHAPES = {'output_stride', 'rates', 'crop_size', 'base_size', 'mean', 'std', 'interpolation'}
STILL_TRUE = {'sha1': {*SAME_SHAPES, 'classes'}, 'miou': set(), 'pixel_accuracy': set(),
              'data_set': {*SAME_SHAPES, 'base', 'head'}}

# The table: the rows by their names. It is filled below.
SEGMENTATION: dict[str, 'SegmentationSpec'] = {}


@dataclass(frozen=True)
class SegmentationSpec(Row):
    """What makes a segmentation network, and how its published weights want their images.

    ``base`` is the variant of the backbone, ``head`` 'deeplab' or 'fcn', and ``output_stride`` 8, 16 or 32 how many
    pixels of the image lie between two of the last stage. ``rates`` are the dilations of DeepLabV3's ASPP at output
    stride 8; they are halved at 16 (Chen et al., 2017, https://arxiv.org/abs/1706.05587, section 4).
    ``head_channels`` is the width of DeepLabV3's head.
    Training crops have ``crop_size`` pixels; ``base_size`` is the edge that the scales of training and of multi-scale
    evaluation refer to. ``mean`` and ``std`` normalize the pixels (RGB, on a scale of 0 to 1).
    ``miou`` and ``pixel_accuracy`` (per cent, on the validation images of ``data_set``, multi-scale with flip) and
    ``sha1`` (of the .params file) are the published ones, None where nothing is published; a row that is made from one
    of the table forgets what need not be true of it. Raises InputError for values of another type or out of range.
    """
    name: str
    base: str
    head: str = 'deeplab'
    classes: int = 150
    output_stride: int = 8
    rates: tuple[int, int, int] = (12, 24, 36)
    head_channels: int = 256
    crop_size: int = 480            # pixels
    base_size: int = 520            # pixels
    interpolation: str = 'bilinear'
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)       # ImageNet's
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    data_set: Optional[str] = None
    miou: Optional[float] = None
    pixel_accuracy: Optional[float] = None
    sha1: Optional[str] = None

    table = SEGMENTATION
    still_true = STILL_TRUE
    url = GLUONCV_URL

    def __post_init__(self):
        self.settle_types()
        find_variant(self.base)
        self.check_limits(LIMITS)
        self.check_choices({'head': HEADS, 'output_stride': (8, 16, 32), 'interpolation': ('bilinear', 'bicubic')})
        if len(self.rates) != 3 or not all(1 <= rate <= MOST_DILATION for rate in self.rates):
            raise InputError(f'rates must be three dilations of at least 1 and at most {MOST_DILATION}, got '
                             f'{one_line(self.rates)}')
        self.check_statistics()
        self.forget_published()


SEGMENTATION.update({spec.name: spec for spec in (
    SegmentationSpec('deeplab_resnest50_ade', 'resnest50', data_set='ade20k', miou=45.1, pixel_accuracy=81.2,
                     sha1='a8312db6e30a464151580f2bda83479786455724'),
    SegmentationSpec('deeplab_resnest101_ade', 'resnest101', data_set='ade20k', miou=46.9, pixel_accuracy=82.1,
                     sha1='6d05c630fb7acb38615f7f4d360fb90f47b25042'),
    SegmentationSpec('deeplab_resnest200_ade', 'resnest200', data_set='ade20k', miou=48.4, pixel_accuracy=82.5,
                     sha1='9134a6f7d1399b549d5803d8faed3dfc74efc0d8'),
    SegmentationSpec('deeplab_resnest269_ade', 'resnest269', data_set='ade20k', miou=47.6, pixel_accuracy=82.6,
                     sha1='d45b33dedf4cca13b8147213c5360e30f93685bd'),
)})
