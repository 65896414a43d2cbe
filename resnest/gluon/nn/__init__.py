"""The blocks of a ResNeSt."""
from .bottleneck import Bottleneck
from .dropblock import DropBlock, set_drop_probability
from .native import use_native
from .split_attention import SplitAttentionConv

__all__ = ['Bottleneck', 'DropBlock', 'SplitAttentionConv', 'set_drop_probability', 'use_native']
