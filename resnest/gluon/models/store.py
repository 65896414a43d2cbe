"""Published weights: found in a folder, or downloaded there once, checked (sha1) and unpacked.

The folder is ``root``; while that has its default it is ``$RESNEST_HOME``, ``$MXNET_HOME/models`` or
``~/.mxnet/models``, the first that is set. ``$RESNEST_MIRROR`` takes the place of the release page: the
http(s) URL of a folder, or its path. A ``.params`` file or the ``.zip`` of the release that lies in the folder
is used without any network.
"""
import hashlib
import logging
import os
import shutil
import zipfile
import zlib
from pathlib import Path

import mxnet as mx

from resnest.errors import InputError
from resnest.files import replacing

from .download import download, locked
from .variants import VARIANTS

__all__ = ['ROOT', 'URL', 'load_parameters', 'load_pretrained', 'model_file', 'purge']

URL = 'https://github.com/zhanghang1989/ResNeSt/releases/download/weights_step2/{file}.zip'
ROOT = '~/.mxnet/models'
LOG = logging.getLogger(__name__)


def load_pretrained(net, spec, pretrained, root=ROOT, ctx=None):
    """Load the published weights (``pretrained=True``) or those of a file (its path) into ``net``.

    A network with another number of classes than the published one keeps its classifier, newly
    initialized; a file given by its path has to fit.
    """
    if isinstance(pretrained, (str, os.PathLike)):
        load_parameters(net, pretrained, ctx)
    else:
        load_parameters(net, model_file(spec, root), ctx, other_classes=True)


def load_parameters(net, path, ctx=None, other_classes=False):
    """``net.load_parameters`` with errors that say what is wrong.

    Parameters
    ----------
    net : ResNet
    path : str or Path
        A file of ``net.save_parameters``; its values are cast to the network's type.
    ctx : Context or list of Context
        Where to load to, the CPU unless given.
    other_classes : bool
        Where the file was made for another number of classes, load all but the classifier, and
        initialize that one (MSRAPrelu) instead of raising.

    Raises InputError for a file that is missing, is not a parameter file, or is of another network; nothing
    is loaded then.
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
    stored = {name.split(':', 1)[-1]: value for name, value in stored.items()}     # export() writes arg:, aux:
    wanted = net._collect_params_with_prefix()
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
            param._load_init(stored[name], ctx, cast_dtype=True)
    if classifier:
        LOG.info('%s: the classifier for %d classes starts anew', path, wanted['fc.bias'].shape[0])
        net.fc.initialize(mx.init.MSRAPrelu(factor_type='in', slope=0), ctx=net.bn1.gamma.list_ctx(), force_reinit=True)


def model_file(spec, root=ROOT):
    """Path of the published weights of ``spec`` under ``root``, fetched and checked if they are not there.

    Raises InputError, in one line that names the URL, the file and the folder, where they cannot be had. A
    damaged file is named (logging, as a warning) and fetched again once.
    """
    if spec.sha1 is None:
        raise InputError(f'no weights are published for {spec.name}; train it, or pass the path of a .params file')
    folder = _folder(root)
    path = folder / f'{spec.file}.params'
    if path.is_file() and _sha1(path) == spec.sha1:
        return path
    url = _url(spec)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f'{spec.file}.zip.part') as archive:
            if not (path.is_file() and _sha1(path) == spec.sha1):       # nobody fetched it while we waited
                _obtain(spec, path, url, archive)
    except InputError as error:
        damaged = f'{path} is {_appearance(path)}, and ' if path.is_file() else ''
        raise InputError(f'{damaged}cannot get {path.name} from {url} ({error}); put the file, or its .zip, '
                         f'into {folder}, or pass its path') from None
    except OSError as error:
        raise InputError(f'cannot get {path.name} into {folder}: {error.strerror or error}; choose another folder '
                         'with root= or RESNEST_HOME, or make room') from None
    return path


def purge(root=ROOT):
    """Remove the published weights, and what is left of downloads, from the folder; returns the paths removed."""
    files = [_folder(root) / f'{spec.file}{ending}' for spec in VARIANTS.values() if spec.sha1
             for ending in ('.params', '.zip', '.zip.part', '.params.part')]
    found = [path for path in files if path.is_file()]
    for path in found:
        path.unlink()
    return found


def _folder(root):
    if str(root) == ROOT:
        home = os.environ.get('MXNET_HOME')
        root = os.environ.get('RESNEST_HOME') or (os.path.join(home, 'models') if home else ROOT)
    return Path(root).expanduser()


def _url(spec):
    """Where the archive comes from: a URL, or a path."""
    mirror = os.environ.get('RESNEST_MIRROR', '').rstrip('/')
    return f'{mirror.replace("file://", "", 1)}/{spec.file}.zip' if mirror else URL.format(file=spec.file)


def _obtain(spec, path, url, archive):
    """Make ``path`` from a file that lies there or on a mirror's path, otherwise from the network."""
    online = url.startswith(('http://', 'https://'))
    if path.is_file():
        LOG.warning('%s: %s, its sha1 is not %s; getting it again', path, _appearance(path), spec.sha1)
    sources = [path.with_suffix('.zip')]
    if not online:
        mirrored = Path(url).expanduser()
        sources += [mirrored.with_suffix('.params'), mirrored]
    for source in sources:
        if source.is_file() and source != path:
            problem = _unpack(source, path, spec.sha1)
            if not problem:
                return
            LOG.warning('%s: %s', source, problem)
    if not online:
        raise InputError('there is no such file, or a damaged one')
    for _ in range(2):
        download(url, archive, path.name)
        problem = _unpack(archive.name, path, spec.sha1)
        archive.truncate(0)
        if not problem:
            return
        LOG.warning('%s: %s', url, problem)
    raise InputError(f'{problem}, twice')


class _Damaged(Exception):
    """Weights that are not the published ones."""


def _unpack(source, path, sha1):
    """Put the parameters of an archive, or of a plain file, to ``path``; returns what is wrong, None if all is well.

    Only the member of exactly that name is read, and written to ``path``: no member can choose where it goes.
    """
    source = Path(source)
    try:
        with replacing(path) as part:
            if source.suffix == '.params':
                shutil.copyfile(source, part)
            else:
                with zipfile.ZipFile(source) as opened, opened.open(path.name) as member, open(part, 'wb') as target:
                    shutil.copyfileobj(member, target)
            if _sha1(part) != sha1:
                raise _Damaged(f'{_appearance(part)}, the sha1 of {path.name} is not {sha1}')
        return None
    except _Damaged as error:
        return str(error)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):
        return f'{_appearance(source)}, not a whole zip archive'
    except KeyError:
        return f'the archive has no {path.name}'



def _appearance(path):
    """What a file that is not the wanted one seems to be."""
    with open(path, 'rb') as opened:
        return 'a web page' if opened.read(512).lstrip().startswith(b'<') else 'damaged'


def _sha1(path):
    digest = hashlib.sha1(usedforsecurity=False)
    with open(path, 'rb') as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
