"""Published weights: found in a folder, or downloaded there and checked (sha1)."""
import os
import zipfile
from pathlib import Path

import mxnet as mx
from mxnet.gluon.utils import check_sha1, download

from resnest.errors import InputError

__all__ = ['URL', 'load_parameters', 'load_pretrained', 'model_file']

URL = 'https://github.com/zhanghang1989/ResNeSt/releases/download/weights_step2/{file}.zip'


def load_pretrained(net, spec, pretrained, root, ctx):
    """Load the published weights (``pretrained=True``) or those of a file (its path) into ``net``."""
    path = pretrained if isinstance(pretrained, (str, os.PathLike)) else model_file(spec, root)
    load_parameters(net, path, ctx)


def load_parameters(net, path, ctx=None):
    """``net.load_parameters`` with errors that say what is wrong.

    Raises InputError for a file that is missing, is not a parameter file, or is of another network.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f'{path}: no such file; give a .params file of this network')
    try:
        stored = mx.nd.load(str(path))
    except mx.MXNetError:
        raise InputError(f'{path}: not a parameter file, or a truncated one; copy or download it again') from None
    if not isinstance(stored, dict):
        raise InputError(f'{path}: holds no parameter names; save it with net.save_parameters')
    stored = {name.split(':', 1)[-1]: value for name, value in stored.items()}     # export() writes arg:, aux:
    wanted = net._collect_params_with_prefix()
    problems = ([f'it lacks {name}' for name in wanted if name not in stored] +
                [f'it has {name}, which the network has not' for name in stored if name not in wanted] +
                [f'{name} is {stored[name].shape}, the network has {wanted[name].shape}'
                 for name in wanted if name in stored and stored[name].shape != wanted[name].shape])
    if problems:
        more = f' ({len(problems)} differences)' if len(problems) > 1 else ''
        classes = stored.get('fc.bias')
        hint = (f'; it was made for {classes.shape[0]} classes' if classes is not None and
                'fc.bias' in wanted and classes.shape != wanted['fc.bias'].shape else '')
        raise InputError(f'{path}: not of this network: {problems[0]}{more}{hint}')
    net.load_parameters(str(path), ctx=ctx)


def model_file(spec, root):
    """Path of the published weights under ``root``, downloaded and checked if they are not there."""
    if spec.sha1 is None:
        raise InputError(f'no weights are published for {spec.name}; train it, or pass the path of a .params file')
    root = Path(root).expanduser()
    path = root / f'{spec.file}.params'
    if path.is_file() and check_sha1(str(path), spec.sha1):
        return path
    root.mkdir(parents=True, exist_ok=True)
    url = URL.format(file=spec.file)
    archive = root / f'{spec.file}.zip.part'
    unpacked = root / f'{spec.file}.params.part'
    try:
        download(url, path=str(archive), overwrite=True)
        with zipfile.ZipFile(archive) as opened, open(unpacked, 'wb') as target:
            target.write(opened.read(path.name))
        if not check_sha1(str(unpacked), spec.sha1):
            raise InputError(f'{url}: the sha1 of {path.name} is not {spec.sha1}')
        os.replace(unpacked, path)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f'cannot get {path.name} from {url} ({type(error).__name__}); '
                         f'put the file into {root} yourself, or pass its path') from None
    finally:
        archive.unlink(missing_ok=True)
        unpacked.unlink(missing_ok=True)
    return path
