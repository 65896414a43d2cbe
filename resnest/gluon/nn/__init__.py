"""The blocks of a ResNeSt, and of the networks that it came from."""
from .bottleneck import Bottleneck
from .deformable import DeformableConv2D
from .drop_path import DropPath, path_probabilities
from .dropblock import DropBlock, set_drop_probability
from .dropout import Dropout
from .native import use_native
from .roi_align import RoIAlign
from .selective_kernel import SelectiveKernelConv
from .split_attention import SplitAttentionConv
from .squeeze_excitation import ConcurrentSqueezeExcitation, SqueezeExcitation
from .stem import STEMS, normalization
from .synchronized import SyncBatchNorm

__all__ = ['STEMS', 'Bottleneck', 'ConcurrentSqueezeExcitation', 'DeformableConv2D', 'DropBlock', 'DropPath',
           'Dropout', 'RoIAlign', 'SelectiveKernelConv', 'SplitAttentionConv', 'SqueezeExcitation', 'SyncBatchNorm',
           'normalization', 'path_probabilities', 'set_drop_probability', 'use_native']
