"""Files of parameters: into a network, with errors that say what is wrong."""
import logging
from pathlib import Path

import mxnet as mx

from resnest.errors import InputError
from resnest.gluon.mxnet_private import load_value, structural_parameters

__all__ = ['count_classes', 'load_parameters', 'read_parameters']

LOG = logging.getLogger(__name__)


def read_parameters(path):
    """The arrays of a ``.params`` file by their names in the network.

    Raises InputError for a file that is missing, damaged or something else.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f'{path}: no such file; give a .params file of this network')
    try:
        stored = mx.nd.load(str(path))
    except mx.MXNetError:
        remedy = ('scripts/gluon/convert_weights.py makes one of it' if path.suffix in ('.pth', '.pt', '.safetensors')
                  else 'copy or download it again')
        raise InputError(f'{path}: not a parameter file, or a truncated one; {remedy}') from None
    if not isinstance(stored, dict):
        raise InputError(f'{path}: holds no parameter names; save it with net.save_parameters')
    return {name.split(':', 1)[-1]: value for name, value in stored.items()}       # export() writes arg:, aux:


def count_classes(path):
    """For how many classes a ``.params`` file was made; raises InputError as :func:`read_parameters`."""
    bias = read_parameters(path).get('fc.bias')
    if bias is None:
        raise InputError(f'{path}: has no classifier (fc.bias); give the .params file of a whole network')
    return bias.shape[0]


def load_parameters(net, path, ctx=None, other_classes=False):
    """``net.load_parameters`` with errors that say what is wrong.

    Parameters
    ----------
    net : ResNet or Features
        The parameters of children that a :class:`Features` leaves out are passed over.
    path : str or Path
        A file of ``net.save_parameters``; its values are cast to the network's type.
    ctx : Context or list of Context
        Where to load to, the CPU unless given.
    other_classes : bool
        Where the file was made for another number of classes, load all but the classifier, and
        initialize that one (MSRAPrelu) instead of raising.

    Returns whether the classifier starts anew. Raises InputError for a file that is missing, is not a parameter
    file, or is of another network; nothing is loaded then.
    """
    omitted = getattr(net, 'omitted', ())
    stored = {name: value for name, value in read_parameters(path).items() if name.split('.')[0] not in omitted}
    wanted = structural_parameters(net)
    bias = stored.get('fc.bias')
    classes_differ = bias is not None and 'fc.bias' in wanted and bias.shape != wanted['fc.bias'].shape
    classifier = ('fc.weight', 'fc.bias') if classes_differ and other_classes else ()
    problems = ([f'it lacks {name}' for name in wanted if name not in stored] +
                [f'it has {name}, which the network has not' for name in stored if name not in wanted] +
                [f'{name} is {stored[name].shape}, the network has {wanted[name].shape}' for name in wanted
                 if name in stored and name not in classifier and stored[name].shape != wanted[name].shape])
    if problems:
        more = f' ({len(problems)} differences)' if len(problems) > 1 else ''
        hint = f'; it was made for {bias.shape[0]} classes' if classes_differ else ''
        raise InputError(f'{path}: not of this network: {problems[0]}{more}{hint}')
    for name, param in wanted.items():
        if name not in classifier:
            load_value(param, stored[name], ctx)
    if classifier:
        LOG.info('%s: the classifier for %d classes starts anew', path, wanted['fc.bias'].shape[0])
        net.fc.initialize(mx.init.MSRAPrelu(factor_type='in', slope=0), ctx=net.bn1.gamma.list_ctx(), force_reinit=True)
    return bool(classifier)
