"""The ways to make a network: by its name (:func:`get_model`), or by the function of that name (:func:`resnest50`)."""
import fnmatch
import inspect
import os

from mxnet.gluon import ParameterDict

from resnest.errors import InputError
from resnest.reading import did_you_mean, one_line

from .features import Features
from .resnet import ResNet
from .variants import VARIANTS, find_variant, option_names, override
from .weights.choosing import choose
from .weights.store import ROOT, load_pretrained, purge

__all__ = ['get_model', 'list_models', 'purge', *VARIANTS]

NETWORK = [name for name in inspect.signature(ResNet).parameters if name not in ('spec', 'kwargs')] + [
    'prefix', 'params']


def list_models(pattern='*', pretrained=False):
    """List the names of the networks that fit a shell pattern such as ``'*fast*'``, in the order of the table.

    With ``pretrained=True`` only those networks are listed whose weights are published.
    """
    return [name for name, spec in VARIANTS.items()
            if fnmatch.fnmatchcase(name, pattern) and (spec.sha1 or not pretrained)]


def get_model(name, pretrained=False, root=ROOT, ctx=None, features_only=False, out_indices=(1, 2, 3, 4), **kwargs):
    """Make a network by name.

    Parameters
    ----------
    name : str
        One of :func:`list_models`, or the path of a ``.params`` file that is described (``'runs/x/best.params'``).
    pretrained : bool or str
        True loads the published ImageNet weights, a path those of a ``.params`` file. Otherwise the network comes
        without values: call ``initialize`` or ``load_parameters``. With ``pretrained=True`` and another number of
        ``classes`` than 1000 the classifier is new, whereas a file must fit. Weights that are described (by the
        ``best.json`` beside them) say themselves what differs from the row, and for how many classes they are; their
        :class:`.Description` is then ``net.description``.
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
        Parameters of :class:`ResNet` (``classes``, ``dilation``, ``last_gamma``, …), and the fields of
        :class:`VariantSpec` that make a network (``radix``, ``final_drop``, …), to override. What is published of the
        network (``sha1``, ``top1``, …) is None in ``net.spec`` where it is not true of the one that was made.

    Raises InputError for an unknown name of a network or a parameter (with the nearest one), for a value of another
    type or out of range, for a file that is not there, and for weights that do not fit, or say so themselves.
    """
    chosen = choose(name, pretrained, kwargs)
    name, pretrained, kwargs = chosen.model, chosen.pretrained, dict(chosen.values)
    own = option_names()
    spec = override(find_variant(name), {key: kwargs.pop(key) for key in own if key in kwargs})
    unknown = next((key for key in kwargs if key not in NETWORK), None)
    if unknown is not None:
        raise InputError(f"a network has no '{one_line(unknown)}'{did_you_mean(unknown, own + NETWORK)}")
    if not (pretrained is None or isinstance(pretrained, (bool, str, os.PathLike))):
        raise InputError('pretrained must be True, False or the path of a .params file, got '
                         f'{one_line(repr(pretrained))}')
    for key, kind in (('prefix', str), ('params', ParameterDict)):
        if not isinstance(kwargs.get(key), (kind, type(None))):
            raise InputError(f'{key} must be a {kind.__name__}, got {one_line(repr(kwargs[key]))}')
    net = ResNet(spec, **kwargs)
    if features_only:
        net = Features(net, out_indices)
    if pretrained:
        load_pretrained(net, spec, pretrained, root, ctx)
        net.description = chosen.description
    return net


def _maker(name):
    def make(pretrained=False, root=ROOT, ctx=None, **kwargs):
        return get_model(name, pretrained, root, ctx, **kwargs)
    spec = VARIANTS[name]
    make.__name__ = make.__qualname__ = name
    make.__doc__ = (f'{name}: {spec.depth} layers, radix {spec.radix}, cardinality {spec.cardinality}, width '
                    f'{spec.bottleneck_width}, for {spec.crop_size} px images. Parameters as :func:`get_model`.')
    return make


globals().update((name, _maker(name)) for name in VARIANTS)
