"""What editors and type checkers are told of the functions that make networks: every keyword by its name (PEP 692)."""
import inspect
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Optional, Protocol, TypedDict, Union, overload

from .features import Features
from .resnet import ResNet

if TYPE_CHECKING:
    from typing_extensions import Unpack  # of typing from Python 3.11 on

__all__ = ['ALIASES', 'Classifier', 'Folder', 'Maker', 'NetworkOptions', 'Weights', 'whole_signature']

Folder = Union[str, os.PathLike]
Weights = Union[bool, str, os.PathLike, None]
# The names of the table, one by one: a type checker cannot see into it.
Classifier = Literal['resnest14', 'resnest26', 'resnest50', 'resnest101', 'resnest200', 'resnest269',
                     'resnest50_fast_1s1x64d', 'resnest50_fast_2s1x64d', 'resnest50_fast_4s1x64d',
                     'resnest50_fast_1s2x40d', 'resnest50_fast_2s2x40d', 'resnest50_fast_4s2x40d',
                     'resnest50_fast_1s4x24d', 'resnet50_v1b', 'resnet101_v1b', 'resnet152_v1b', 'resnet50_v1d',
                     'resnet101_v1d', 'resnet152_v1d', 'resnext50_32x4d', 'resnext101_32x4d', 'resnext101_64x4d',
                     'se_resnext50_32x4d', 'se_resnext101_32x4d', 'skresnet50', 'skresnext50_32x4d']
# timm's names for some of the keywords.
ALIASES = {'num_classes': 'classes', 'in_chans': 'in_channels'}


class NetworkOptions(TypedDict, total=False):
    """The keywords by which a network differs from its row: parameters of ResNet, fields of VariantSpec, aliases."""
    classes: int
    num_classes: int
    in_channels: int
    in_chans: int
    dilation: Literal[1, 2, 4]
    last_gamma: bool
    dropblock_prob: float
    drop_path: float
    norm_layer: Any
    norm_kwargs: Optional[dict[str, Any]]
    deformable_stages: Sequence[int]
    prefix: Optional[str]
    params: Any
    blocks: Sequence[int]
    attention: Literal['split', 'se', 'scse', 'sk', 'none']
    radix: int
    halves: bool
    rounding: int
    cardinality: int
    bottleneck_width: int
    stem: Literal['deep', 'plain', 'single']
    stem_width: int
    shortcut: Literal['pooled', 'strided']
    planes: Sequence[int]
    expansions: Sequence[int]
    group_widths: Sequence[int]
    avd: bool
    avd_first: bool
    final_drop: float
    crop_size: int
    interpolation: Literal['bilinear', 'bicubic']
    crop_ratio: float
    mean: Sequence[float]
    std: Sequence[float]


class Maker(Protocol):
    """The function of a network's name."""
    __name__: str

    @overload
    def __call__(self, pretrained: Weights = ..., root: Folder = ..., ctx: Any = ...,
                 features_only: Literal[False] = ..., out_indices: Sequence[int] = ...,
                 **kwargs: 'Unpack[NetworkOptions]') -> ResNet: ...

    @overload
    def __call__(self, pretrained: Weights = ..., root: Folder = ..., ctx: Any = ..., *,
                 features_only: Literal[True], out_indices: Sequence[int] = ...,
                 **kwargs: 'Unpack[NetworkOptions]') -> Features: ...


def whole_signature(function, spec):
    """The signature of a network's function, for ``help`` and interactive shells, with the values of its row.

    ``function`` is :func:`get_model`, whose parameters but the name it has.
    """
    own = list(inspect.signature(function).parameters.values())[1:-1]
    defaults = {name: each.default for name, each in inspect.signature(ResNet).parameters.items()}
    return inspect.Signature([*own, *(
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(spec, name, defaults.get(name)))
        for name in NetworkOptions.__annotations__ if name not in ALIASES)])
