"""The published detectors: each row is a network, its weights and how they want their images.

The paper's models and its baselines are those of its project for Detectron2, with the figures of their README (COCO,
val2017); three more were published for gluoncv (https://cv.gluon.ai/model_zoo/detection.html).
"""
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError
from resnest.gluon.models import VARIANTS, find_variant
from resnest.gluon.models.rows import GLUONCV_URL, Row
from resnest.reading import one_line

from .geometry.conventions import CONVENTIONS
from .geometry.sizes import LONGEST_SIDE

__all__ = ['BASELINES', 'DETECTION', 'DetectionSpec']

# The blocks of the baselines' backbones.
BASELINES = {'resnet50': (3, 4, 6, 3), 'resnet101': (3, 4, 23, 3)}
LIMITS = {'classes': (1, 10_000), 'channels': (1, 4096), 'box_convolutions': (0, 100), 'box_dense': (0, 100),
          'box_units': (1, 1 << 16), 'mask_convolutions': (0, 100),
          'kinds': (0, 10_000), 'proposals_before': (1, 100_000), 'proposals': (1, 10_000), 'detections': (1, 10_000),
          'proposal_overlap': (0, 1), 'overlap': (0, 1), 'least_score': (0, 1), 'short_side': (1, LONGEST_SIDE),
          'long_side': (1, LONGEST_SIDE), 'confidence': (0, 1), 'covered': (0, 1),
          'stuff_area': (0, 1 << 28)}
LEVELS = 5
MOST_STAGES = 10
MOST_RATIOS = 100
# What is published of a network holds for another one that differs from it in these alone.
SAME_WEIGHTS = {'anchor_sizes', 'proposals_before', 'proposals', 'proposal_overlap', 'detections',
                'overlap', 'least_score', 'short_side', 'long_side', 'interpolation', 'channel_order', 'mean', 'std',
                'ious', 'stride_first', 'confidence', 'covered', 'stuff_area', 'classes'}
STILL_TRUE = {'archive': SAME_WEIGHTS, 'sha1': SAME_WEIGHTS, 'box_ap': set(), 'mask_ap': set(),
              'panoptic_quality': set()}

# The table: the rows by their names. It is filled below.
DETECTION: dict[str, 'DetectionSpec'] = {}


@dataclass(frozen=True)
class DetectionSpec(Row):
    """What makes a detector, and how its published weights want their images.

    ``base`` is the variant of the backbone, or a plain ResNet of the baselines, whose stride is in the first 1×1
    convolution of its blocks with ``stride_first``; ``deformable_stages`` are those with deformable convolutions.
    There is a box head for each of ``ious``, the overlaps from which on its boxes learn as objects, with differences of
    their own for each class unless it is ``agnostic``; ``mask_convolutions`` and ``kinds`` (of pixels, with things as
    the first) are 0 where there is no mask head and no semantic one. ``norm`` says whether the pyramid and the box head
    are normalized, and ``mask_norm`` whether the mask head is.
    ``channels`` are those of the pyramid and of the heads, but for the ``box_units`` of the box heads' ``box_dense``
    layers.
    ``convention`` is that of the code that it was trained with (:class:`.conventions.Convention`). An anchor has the
    side ``anchor_sizes[level]``. ``proposals_before`` (of a level, or of all) take part in the suppression at
    ``proposal_overlap``, and ``proposals`` of all levels are left; of what has at least ``least_score``,
    ``detections`` are left after the suppression at ``overlap``. In panoptic segmentations ``confidence``,
    ``covered`` and ``stuff_area`` (pixels) decide which segments are there (:func:`.panoptic.merge`).
    Images are resized so that their short side has ``short_side`` pixels and their long side at most ``long_side``;
    ``mean`` and ``std`` normalize the pixels (on a scale of 0 to 1), whose channels come in ``channel_order``, RGB or
    BGR; so do ``mean`` and ``std``.
    ``box_ap``, ``mask_ap`` and ``panoptic_quality`` (per cent), ``archive`` (the file for Detectron2) and ``sha1`` (of
    the .params file) are the published ones, None where nothing is published; a row that is made from one of the table
    forgets what need not be true of it. Raises InputError for values of another type or out of range.
    """
    name: str
    base: str
    stride_first: bool = False
    deformable_stages: tuple[int, ...] = ()
    convention: str = 'detectron2'
    norm: bool = True
    channels: int = 256
    ious: tuple[float, ...] = (0.5,)
    agnostic: bool = False
    box_convolutions: int = 4
    box_dense: int = 1
    box_units: int = 1024
    mask_convolutions: int = 0
    mask_norm: bool = True
    kinds: int = 0
    classes: int = 80
    anchor_sizes: tuple[float, ...] = (32, 64, 128, 256, 512)       # pixels
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)              # height / width
    proposals_before: int = 1000
    proposals: int = 1000
    proposal_overlap: float = 0.7
    detections: int = 100
    overlap: float = 0.5
    least_score: float = 0.05
    confidence: float = 0.5
    covered: float = 0.5
    stuff_area: int = 4096
    short_side: int = 800           # pixels
    long_side: int = 1333           # pixels
    interpolation: str = 'bilinear'
    channel_order: str = 'RGB'
    mean: tuple[float, float, float] = tuple(value / 255 for value in (123.68, 116.779, 103.939))
    std: tuple[float, float, float] = tuple(value / 255 for value in (58.393, 57.12, 57.375))
    box_ap: Optional[float] = None
    mask_ap: Optional[float] = None
    panoptic_quality: Optional[float] = None
    archive: Optional[str] = None
    sha1: Optional[str] = None

    table = DETECTION
    still_true = STILL_TRUE
    url = GLUONCV_URL

    def __post_init__(self):
        self.settle_types()
        if self.base not in BASELINES:
            find_variant(self.base)
        elif self.deformable_stages:
            raise InputError(f'deformable_stages: {self.base} has none, give another base')
        self.check_limits(LIMITS)
        self.check_choices({'interpolation': ('bilinear', 'bicubic'), 'convention': tuple(CONVENTIONS),
                            'channel_order': ('RGB', 'BGR')})
        self.check_statistics()
        for key, most, least, length in (('ious', 1, 0, (1, MOST_STAGES)), ('deformable_stages', 4, 1, (0, 4)),
                                         ('anchor_sizes', LONGEST_SIDE, 1, (LEVELS, LEVELS)),
                                         ('anchor_ratios', MOST_RATIOS, 1 / MOST_RATIOS, (1, MOST_RATIOS))):
            values = getattr(self, key)
            if not length[0] <= len(values) <= length[1] or not all(least <= value <= most for value in values):
                counted = length[0] if length[0] == length[1] else f'{length[0]} to {length[1]}'
                raise InputError(f'{key} must be {counted} numbers of at least {least:g} and at most {most:g}, got '
                                 f'{one_line(values)}')
        if len(self.ious) > 1 and not self.agnostic:
            raise InputError('a cascade (several ious) refines one box for all classes: set agnostic')
        self.forget_published()

    def ordered(self, pixels):
        """RGB pixels ``(…, 3)``, an array of NumPy, in the order of channels that the network takes."""
        return pixels[..., ::-1] if self.channel_order == 'BGR' else pixels

    @property
    def file(self):
        """Name of the published weights, without the ending: of the archive, or of gluoncv's file."""
        return self.archive or super().file

    @property
    def blocks(self):
        """Blocks of the backbone's stages."""
        return BASELINES.get(self.base) or VARIANTS[self.base].blocks


CASCADE = {'ious': (0.5, 0.6, 0.7), 'agnostic': True}
GLUONCV = {'convention': 'gluoncv', 'mean': (0.485, 0.456, 0.406), 'std': (0.229, 0.224, 0.225),
           'proposals_before': 6000, 'least_score': 0.01}
# Weights that began as Caffe's, and take what Caffe's took.
CAFFE = {'channel_order': 'BGR', 'mean': tuple(value / 255 for value in (103.53, 116.28, 123.675)),
         'std': (1 / 255,) * 3}

DETECTION.update({spec.name: spec for spec in (
    DetectionSpec('faster_rcnn_fpn_resnet50', 'resnet50', stride_first=True, **CAFFE,
                  archive='faster_rcnn_R_50_FPN_syncbn_range-scale_1x-fde56e2b', box_ap=39.25),
    DetectionSpec('faster_rcnn_fpn_resnet101', 'resnet101', **CAFFE,
                  archive='faster_rcnn_R_101_FPN_syncbn_range-scale_1x-57c73356', box_ap=41.37),
    DetectionSpec('faster_rcnn_fpn_resnest50', 'resnest50',
                  archive='faster_rcnn_ResNeSt_50_FPN_syncbn_range-scale_1x-ad123c0b', box_ap=42.33),
    DetectionSpec('faster_rcnn_fpn_resnest50_dcn', 'resnest50', deformable_stages=(2, 3, 4),
                  archive='faster_rcnn_ResNeSt_50_FPN_dcn_syncbn_range-scale_1x', box_ap=44.11),
    DetectionSpec('faster_rcnn_fpn_resnest101', 'resnest101',
                  archive='faster_rcnn_ResNeSt_101_FPN_syncbn_range-scale_1x-d8f284b6', box_ap=44.72),
    DetectionSpec('cascade_rcnn_fpn_resnet50', 'resnet50', **CASCADE, **CAFFE,
                  archive='faster_cascade_rcnn_R_50_FPN_syncbn_range-scale_1x-3c7f2ef2', box_ap=42.52),
    DetectionSpec('cascade_rcnn_fpn_resnet101', 'resnet101', **CASCADE, **CAFFE,
                  archive='faster_cascade_rcnn_R_101_FPN_syncbn_range-scale_1x-4073359b', box_ap=44.03),
    DetectionSpec('cascade_rcnn_fpn_resnest50', 'resnest50', **CASCADE,
                  archive='faster_cascade_rcnn_ResNeSt_50_FPN_syncbn_range-scale-1x-e9955232', box_ap=45.41),
    DetectionSpec('cascade_rcnn_fpn_resnest101', 'resnest101', **CASCADE,
                  archive='faster_cascade_rcnn_ResNeSt_101_FPN_syncbn_range-scale_1x-3627ef78', box_ap=47.5),
    DetectionSpec('cascade_rcnn_fpn_resnest200', 'resnest200', **CASCADE,
                  archive='faster_cascade_rcnn_ResNeSt_200_FPN_syncbn_range-scale_1x-1be2a87e', box_ap=49.03),
    DetectionSpec('mask_rcnn_fpn_resnet50', 'resnet50', mask_convolutions=4, **CAFFE,
                  archive='mask_rcnn_R_50_FPN_syncbn_1x-4939bd58', box_ap=39.97, mask_ap=36.05),
    DetectionSpec('mask_rcnn_fpn_resnet101', 'resnet101', mask_convolutions=4, **CAFFE,
                  archive='mask_rcnn_R_101_FPN_syncbn_1x-55493cc2', box_ap=41.78, mask_ap=37.51),
    DetectionSpec('mask_rcnn_fpn_resnest50', 'resnest50', mask_convolutions=4,
                  archive='mask_rcnn_ResNeSt_50_FPN_syncBN_1x-f442d863', box_ap=42.81, mask_ap=38.14),
    DetectionSpec('mask_rcnn_fpn_resnest101', 'resnest101', mask_convolutions=4,
                  archive='mask_rcnn_ResNeSt_101_FPN_syncBN_1x-528502c6', box_ap=45.75, mask_ap=40.65),
    DetectionSpec('mask_cascade_rcnn_fpn_resnet50', 'resnet50', **CASCADE, mask_convolutions=4, **CAFFE,
                  archive='mask_cascade_rcnn_R_50_FPN_syncbn_1x-03310c9b', box_ap=43.06, mask_ap=37.19),
    DetectionSpec('mask_cascade_rcnn_fpn_resnet101', 'resnet101', **CASCADE, mask_convolutions=4, **CAFFE,
                  archive='mask_cascade_rcnn_R_101_FPN_syncbn_1x-8cec1631', box_ap=44.79, mask_ap=38.52),
    DetectionSpec('mask_cascade_rcnn_fpn_resnest50', 'resnest50', **CASCADE, mask_convolutions=4,
                  archive='mask_cascade_rcnn_ResNeSt_50_FPN_syncBN_1x-c58bd325', box_ap=46.19, mask_ap=39.55),
    DetectionSpec('mask_cascade_rcnn_fpn_resnest101', 'resnest101', **CASCADE, mask_convolutions=4,
                  archive='mask_cascade_rcnn_ResNeSt_101_FPN_syncBN_1x-62448b9c', box_ap=48.3, mask_ap=41.56),
    DetectionSpec('mask_cascade_rcnn_fpn_resnest200_3x', 'resnest200', **CASCADE, mask_convolutions=8,
                  archive='mask_cascade_rcnn_ResNeSt_200_FPN_syncBN_all_tricks_3x', box_ap=50.54, mask_ap=44.21),
    DetectionSpec('mask_cascade_rcnn_fpn_resnest200_dcn_3x', 'resnest200', **CASCADE, mask_convolutions=8,
                  deformable_stages=(2, 3, 4),
                  archive='mask_cascade_rcnn_ResNeSt_200_FPN_dcn_syncBN_all_tricks_3x-e1901134', box_ap=50.91,
                  mask_ap=44.5),
    DetectionSpec('panoptic_cascade_rcnn_fpn_resnest200_3x', 'resnest200', **CASCADE, mask_convolutions=4,
                  mask_norm=False, kinds=54, archive='panoptic_ResNeSt_200_FPN_syncBN_tricks_3x-43f8b731',
                  box_ap=51.0, mask_ap=43.68, panoptic_quality=47.9),
    DetectionSpec('faster_rcnn_fpn_syncbn_resnest50_coco', 'resnest50', **GLUONCV, box_ap=42.7,
                  sha1='6df46961827647d418b11ffaf616a6a60d9dd16e'),
    DetectionSpec('faster_rcnn_fpn_syncbn_resnest101_coco', 'resnest101', **GLUONCV, box_ap=44.9,
                  sha1='baebfa1b7d7f56dd33a7687efea4b014736bd791'),
    DetectionSpec('faster_rcnn_fpn_syncbn_resnest269_coco', 'resnest269', **GLUONCV, box_ap=46.5,
                  sha1='b7d778f58921e459a6af200f6a323d6fe67069b9'),
)})
