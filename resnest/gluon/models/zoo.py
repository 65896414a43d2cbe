"""The ways to make a network: by its name (:func:`get_model`), or by the function of that name (:func:`resnest50`)."""
import fnmatch
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from mxnet.gluon import ParameterDict

from resnest.errors import InputError
from resnest.reading import did_you_mean, one_line

from .features import Features
from .resnet import ResNet
from .signatures import ALIASES, Folder, Maker, NetworkOptions, Weights, whole_signature
from .variants import VARIANTS, find_variant, option_names, override
from .weights.choosing import choose
from .weights.parameters import check_contexts
from .weights.store import ROOT, load_pretrained, purge

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ['get_model', 'list_models', 'purge', 'resnest101', 'resnest14', 'resnest200', 'resnest26', 'resnest269',
           'resnest50', 'resnest50_fast_1s1x64d', 'resnest50_fast_1s2x40d', 'resnest50_fast_1s4x24d',
           'resnest50_fast_2s1x64d', 'resnest50_fast_2s2x40d', 'resnest50_fast_4s1x64d', 'resnest50_fast_4s2x40d',
           'resnet101_v1b', 'resnet101_v1d', 'resnet152_v1b', 'resnet152_v1d', 'resnet50_v1b', 'resnet50_v1d',
           'resnext101_32x4d', 'resnext101_64x4d', 'resnext50_32x4d', 'se_resnext101_32x4d', 'se_resnext50_32x4d',
           'skresnet50', 'skresnext50_32x4d']


def list_models(pattern: str = '*', pretrained: bool = False) -> list[str]:
    """List the names of the networks that fit a shell pattern such as ``'*fast*'``, in the order of the table.

    With ``pretrained=True`` only those networks are listed whose weights are published.
    """
    return [name for name, spec in VARIANTS.items()
            if fnmatch.fnmatchcase(name, pattern) and (spec.sha1 or not pretrained)]


@overload
def get_model(name: str, pretrained: Weights = ..., root: Folder = ..., ctx: Any = ...,
              features_only: Literal[False] = ..., out_indices: Sequence[int] = ...,
              **kwargs: 'Unpack[NetworkOptions]') -> ResNet: ...


@overload
def get_model(name: str, pretrained: Weights = ..., root: Folder = ..., ctx: Any = ..., *,
              features_only: Literal[True], out_indices: Sequence[int] = ...,
              **kwargs: 'Unpack[NetworkOptions]') -> Features: ...


def get_model(name, pretrained=False, root=ROOT, ctx=None, features_only=False, out_indices=(1, 2, 3, 4), **kwargs):
    """Make a network by name.

    Parameters
    ----------
    name : str
        One of :func:`list_models`, or the path of a ``.params`` file that is described (``'runs/x/best.params'``).
    pretrained : bool or str
        True loads the published ImageNet weights, a path those of a ``.params`` file. Otherwise the network comes
        without values: call ``initialize`` or ``load_parameters``. With ``pretrained=True`` and another number of
        ``classes`` than 1000 the classifier is new, whereas a file must fit. With other ``in_channels`` the first
        convolution is adapted (:func:`resnest.gluon.models.weights.parameters.adapt_channels`). Weights that are
        described (by the ``best.json`` beside them) say themselves what differs from the row, and for how many classes
        they are; their :class:`.Description` is then ``net.description``.
    root : str or Path
        The folder of the published weights, which are downloaded where they are missing. The default gives way to
        the environment variables ``RESNEST_HOME`` and ``MXNET_HOME`` (``$MXNET_HOME/models``).
    ctx : Context or list of Context
        Where the weights are loaded to, the CPU unless given.
    features_only : bool
        Whether to make the backbone alone (:class:`Features`): it returns a tuple with the outputs of the stages
        ``out_indices`` (0 is the stem), and has their ``strides`` and ``channels``.
    out_indices : sequence of int
        The stages whose outputs :class:`Features` returns, in ascending order.
    **kwargs
        Parameters of :class:`ResNet` (``classes``, ``dilation``, ``last_gamma``, …; ``num_classes`` and ``in_chans``
        are other names for ``classes`` and ``in_channels``), and the fields of
        :class:`VariantSpec` that make a network (``radix``, ``final_drop``, …), to override. What is published of the
        network (``sha1``, ``top1``, …) is None in ``net.spec`` where it is not true of the one that was made.

    Raises InputError for an unknown name of a network or a parameter (with the nearest one), for a value of another
    type or out of range, for a file that is not there, and for weights that do not fit, or say so themselves.
    """
    chosen = choose(name, pretrained, _without_aliases(kwargs))
    name, pretrained, kwargs = chosen.model, chosen.pretrained, dict(chosen.values)
    own = option_names()
    spec = override(find_variant(name), {key: kwargs.pop(key) for key in own if key in kwargs})
    known = [*NetworkOptions.__annotations__, 'pretrained', 'root', 'ctx', 'features_only', 'out_indices']
    unknown = next((key for key in kwargs if key not in NetworkOptions.__annotations__), None)
    if unknown is not None:
        raise InputError(f"a network has no '{one_line(unknown)}'{did_you_mean(unknown, known)}")
    _check_types(pretrained, features_only, kwargs)
    check_contexts(ctx)
    net = ResNet(spec, **kwargs)
    if features_only:
        net = Features(net, out_indices)
    if pretrained:
        load_pretrained(net, spec, pretrained, root, ctx)
        net.description = chosen.description
    return net


def _without_aliases(kwargs):
    for alias, name in ALIASES.items():
        if alias in kwargs and name in kwargs:
            raise InputError(f'{alias} and {name} are the same: give one of them')
    return {ALIASES.get(name, name): value for name, value in kwargs.items()}


def _check_types(pretrained, features_only, kwargs):
    if not (pretrained is None or isinstance(pretrained, (bool, str, os.PathLike))):
        raise InputError('pretrained must be True, False or the path of a .params file, got '
                         f'{one_line(repr(pretrained))}')
    if not isinstance(features_only, bool):
        raise InputError(f'features_only must be True or False, got {one_line(repr(features_only))}')
    for key, kind in (('prefix', str), ('params', ParameterDict)):
        if not isinstance(kwargs.get(key), (kind, type(None))):
            raise InputError(f'{key} must be a {kind.__name__}, got {one_line(repr(kwargs[key]))}')


def _maker(name: str) -> Maker:
    def make(pretrained=False, root=ROOT, ctx=None, features_only=False, out_indices=(1, 2, 3, 4), **kwargs):
        return get_model(name, pretrained, root, ctx, features_only, out_indices, **kwargs)
    spec = VARIANTS[name]
    make.__name__ = make.__qualname__ = name
    attention = f'radix {spec.radix}' if spec.attention == 'split' else f'attention {spec.attention}'
    make.__doc__ = (f'{name}: {spec.depth} layers, {attention}, cardinality {spec.cardinality}, width '
                    f'{spec.bottleneck_width}, for {spec.crop_size} px images. Parameters as :func:`get_model`.')
    make.__signature__ = whole_signature(get_model, spec)
    return make


# A line for each row of the table, so that editors and type checkers see the functions too.
resnest14 = _maker('resnest14')
resnest26 = _maker('resnest26')
resnest50 = _maker('resnest50')
resnest101 = _maker('resnest101')
resnest200 = _maker('resnest200')
resnest269 = _maker('resnest269')
resnest50_fast_1s1x64d = _maker('resnest50_fast_1s1x64d')
resnest50_fast_2s1x64d = _maker('resnest50_fast_2s1x64d')
resnest50_fast_4s1x64d = _maker('resnest50_fast_4s1x64d')
resnest50_fast_1s2x40d = _maker('resnest50_fast_1s2x40d')
resnest50_fast_2s2x40d = _maker('resnest50_fast_2s2x40d')
resnest50_fast_4s2x40d = _maker('resnest50_fast_4s2x40d')
resnest50_fast_1s4x24d = _maker('resnest50_fast_1s4x24d')
resnet50_v1b = _maker('resnet50_v1b')
resnet101_v1b = _maker('resnet101_v1b')
resnet152_v1b = _maker('resnet152_v1b')
resnet50_v1d = _maker('resnet50_v1d')
resnet101_v1d = _maker('resnet101_v1d')
resnet152_v1d = _maker('resnet152_v1d')
resnext50_32x4d = _maker('resnext50_32x4d')
resnext101_32x4d = _maker('resnext101_32x4d')
resnext101_64x4d = _maker('resnext101_64x4d')
se_resnext50_32x4d = _maker('se_resnext50_32x4d')
se_resnext101_32x4d = _maker('se_resnext101_32x4d')
skresnet50 = _maker('skresnet50')
skresnext50_32x4d = _maker('skresnext50_32x4d')
