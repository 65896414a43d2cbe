"""The pose networks: each row is a network, its weights and its preprocessing (Xiao et al., 2018, "Simple Baselines for
Human Pose Estimation and Tracking", https://arxiv.org/abs/1804.06208; ResNeSt: Zhang et al., 2020, appendix).

Files of the ResNets are gluoncv's (https://cv.gluon.ai/model_zoo/pose.html); of ResNeSts none are published.
"""
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError
from resnest.gluon.models import find_variant
from resnest.gluon.models.rows import GLUONCV_URL, Row
from resnest.reading import one_line

__all__ = ['POSE', 'PoseSpec']

STRIDE = 32             # of the backbone's last map; each deconvolution halves it
LIMITS = {'joints': (1, 10_000), 'height': (STRIDE, 1 << 13), 'width': (STRIDE, 1 << 13), 'sigma': (0.1, 100.0)}
MOST_FILTERS = 1 << 14
MOST_DECONVOLUTIONS = 5
# kernel → (padding, output padding) with which a stride of 2 doubles the map exactly
PADDINGS = {2: (0, 0), 3: (1, 1), 4: (1, 0)}
# What is published of a network holds for another one that differs from it in these alone.
SAME_SHAPES = {'height', 'width', 'sigma', 'mean', 'std'}
STILL_TRUE = {'sha1': {*SAME_SHAPES, 'joints'}, 'data_set': {*SAME_SHAPES, 'base'}}

# The table: the rows by their names. It is filled below.
POSE: dict[str, 'PoseSpec'] = {}


@dataclass(frozen=True)
class PoseSpec(Row):
    """What makes a pose network, and how its published weights want their images.

    ``base`` is the variant of the backbone and ``joints`` the number of keypoints, one heat map for each.
    ``deconv_filters`` and ``deconv_kernels`` (2, 3 or 4) are those of the deconvolutions, each of which doubles the
    map. People are cut out at ``height`` × ``width`` pixels, multiples of 32; ``sigma`` is the standard deviation of
    the Gaussians that are learned, in pixels of the heat map. ``mean`` and ``std`` normalize the pixels (RGB, on a
    scale of 0 to 1). ``sha1`` (of the .params file) is the published one, None where nothing is published; a row that
    is made from one of the table forgets what need not be true of it. Raises InputError for values of another type or
    out of range.
    """
    name: str
    base: str
    joints: int = 17
    deconv_filters: tuple[int, ...] = (256, 256, 256)
    deconv_kernels: tuple[int, ...] = (4, 4, 4)
    height: int = 256               # pixels
    width: int = 192                # pixels
    sigma: float = 2.0              # pixels of the heat map
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)       # ImageNet's
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    data_set: Optional[str] = None
    sha1: Optional[str] = None

    table = POSE
    still_true = STILL_TRUE
    url = GLUONCV_URL

    def __post_init__(self):
        self.settle_types()
        find_variant(self.base)
        self.check_limits(LIMITS)
        for name in ('height', 'width'):
            if getattr(self, name) % STRIDE:
                raise InputError(f'{name} must be a multiple of {STRIDE}, got {getattr(self, name)}')
        filters, kernels = self.deconv_filters, self.deconv_kernels
        if len(filters) > MOST_DECONVOLUTIONS or not all(1 <= each <= MOST_FILTERS for each in filters):
            raise InputError(f'deconv_filters must be at most {MOST_DECONVOLUTIONS} widths of at least 1 and at most '
                             f'{MOST_FILTERS}, got {one_line(filters)}')
        if len(kernels) != len(filters) or not all(each in PADDINGS for each in kernels):
            raise InputError(f'deconv_kernels must be 2, 3 or 4 for each of the {len(filters)} deconvolutions, got '
                             f'{one_line(kernels)}')
        self.check_statistics()
        self.forget_published()

    @property
    def map_size(self):
        """``(height, width)`` of the heat maps."""
        doubled = 2 ** len(self.deconv_filters)
        return self.height // STRIDE * doubled, self.width // STRIDE * doubled


COCO = {'data_set': 'coco'}

POSE.update({spec.name: spec for spec in (
    PoseSpec('simple_pose_resnest50', 'resnest50'),
    PoseSpec('simple_pose_resnest101', 'resnest101'),
    PoseSpec('simple_pose_resnet50_v1b', 'resnet50_v1b', **COCO, sha1='e2c7b1adea31264bc9220511308b4efa89c6fc50'),
    PoseSpec('simple_pose_resnet101_v1b', 'resnet101_v1b', **COCO, sha1='b7ec0de1a34eb718efd4a84339cc1547ead88cbe'),
    PoseSpec('simple_pose_resnet152_v1b', 'resnet152_v1b', **COCO, sha1='ef4e033612a5fca6fc69e54c87da3ba3866d533e'),
    PoseSpec('simple_pose_resnet50_v1d', 'resnet50_v1d', **COCO, sha1='ba2675b6a43fc31601f0e99311b0bb115369bc82'),
    PoseSpec('simple_pose_resnet101_v1d', 'resnet101_v1d', **COCO, sha1='1f8f48fd49a23bcc73c1cd736bdc639cd1434489'),
    PoseSpec('simple_pose_resnet152_v1d', 'resnet152_v1d', **COCO, sha1='3ca502ea8eaaa15f4f972d5cf139167d15ffa798'),
)})
