"""The blocks of a ResNeSt."""
from .bottleneck import Bottleneck
from .deformable import DeformableConv2D
from .drop_path import DropPath, path_probabilities
from .dropblock import DropBlock, set_drop_probability
from .native import use_native
from .roi_align import RoIAlign
from .split_attention import SplitAttentionConv
from .synchronized import SyncBatchNorm

__all__ = ['Bottleneck', 'DeformableConv2D', 'DropBlock', 'DropPath', 'RoIAlign', 'SplitAttentionConv',
           'SyncBatchNorm', 'path_probabilities', 'set_drop_probability', 'use_native']
