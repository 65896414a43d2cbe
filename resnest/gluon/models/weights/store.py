"""Published weights: found in a folder, or downloaded there once, checked (sha1) and unpacked.

The folder is ``root``; while that has its default it is ``$RESNEST_HOME``, ``$MXNET_HOME/models`` or
``~/.mxnet/models``, the first that is set. ``$RESNEST_MIRROR`` takes the place of the release page: the
http(s) URL of a folder, or its path. A ``.params`` file or the ``.zip`` of the release that lies in the folder
is used without any network.
"""
import contextlib
import errno
import hashlib
import logging
import os
import shutil
from pathlib import Path

from resnest.errors import InputError
from resnest.files import replacing, require_replaceable
from resnest.reading import one_line, open_plain

from ..variants import VARIANTS
from .archives import copy_member
from .downloading import download_until, locked
from .parameters import load_parameters
from .params_file import LARGEST

__all__ = ['ROOT', 'URL', 'explained', 'folder_of', 'load_pretrained', 'mirrored', 'model_file', 'purge',
           'require_published']

URL = 'https://github.com/zhanghang1989/ResNeSt/releases/download/weights_step2/{file}.zip'
ROOT = '~/.mxnet/models'
LOG = logging.getLogger(__name__)


def load_pretrained(net, spec, pretrained, root=ROOT, ctx=None, other_classes=False):
    """Load the published weights (``pretrained=True``) or those of a file (its path) into ``net``.

    A network with another number of classes than the published one keeps its classifier, newly initialized; a file
    given by its path has to fit unless ``other_classes``. Returns whether the classifier is new.
    """
    if isinstance(pretrained, (str, os.PathLike)):
        return load_parameters(net, pretrained, ctx, other_classes)
    return load_parameters(net, model_file(spec, root), ctx, other_classes=True)


def require_published(spec):
    """Raise InputError for a row without published weights."""
    if not spec.file:
        changed = ' with other values of what makes it' if spec.table.get(spec.name, spec).file else ''
        raise InputError(f'no weights are published for {spec.name}{changed}; train it, or pass the path of a .params '
                         'file')


def model_file(spec, root=ROOT):
    """Path of the published weights of ``spec`` under ``root``, fetched and checked if they are not there.

    Raises InputError, in one line that names the URL, the file and the folder, where they cannot be had. A
    damaged file is named (logging, as a warning) and fetched again once.
    """
    require_published(spec)
    folder = folder_of(root)
    path = folder / f'{spec.file}.params'
    url = mirrored(spec.url or URL, spec.file, '.zip')
    with explained(path, url):
        if _is_whole(path, spec.sha1):
            return path
        folder.mkdir(parents=True, exist_ok=True)
        require_replaceable(path)
        with locked(folder / f'{spec.file}.zip.part') as archive:
            if not _is_whole(path, spec.sha1):      # nobody fetched it while we waited
                _obtain(spec, path, url, archive)
    return path


@contextlib.contextmanager
def explained(path, url, archive='.zip'):
    """Make one line of what keeps the file ``path`` from coming from ``url`` in the block of a ``with``: it names both,
    and what to do. ``archive`` is the ending of what is published."""
    folder = path.parent
    try:
        yield
    except InputError as error:
        damaged = f'{path} is {_appearance(path)}, and ' if path.is_file() else ''
        raise InputError(f'{one_line(damaged)}cannot get {path.name} from {one_line(url)} ({error}); put the file, or '
                         f'its {archive}, into {one_line(folder)}, or pass its path') from None
    except OSError as error:
        where = f'{one_line(error.filename)}: ' if error.filename else ''
        raise InputError(f'cannot get {path.name} into {one_line(folder)}: {where}{error.strerror or error}; '
                         f'{_remedy(error, path)}') from None


def _remedy(error, path):
    other = 'choose another folder with root= or RESNEST_HOME'
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f'{other}, or make room'
    if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
        return f'nothing is unpacked into a folder that cannot be written: put {path.name} itself there, or {other}'
    if error.filename and os.path.lexists(error.filename):
        return f"it is another user's, from a download that broke off: have it removed, or {other}"
    return other


def purge(root=ROOT, tables=(VARIANTS,)):
    """Remove the published weights, and what is left of downloads, from the folder; returns the paths removed."""
    folder = folder_of(root)
    found = [path for table in tables for spec in table.values() if spec.file
             for ending in ('.params', '.json', '.zip', '.zip.part', '.pth', '.pth.part', '.params.*.part')
             for path in sorted(folder.glob(spec.file + ending)) if path.is_file()]
    for path in found:
        path.unlink()
    return found


def folder_of(root):
    """The folder that ``root`` means; raises InputError for what is none."""
    if str(root) == ROOT:
        home = os.environ.get('MXNET_HOME')
        root = os.environ.get('RESNEST_HOME') or (os.path.join(home, 'models') if home else ROOT)
    if not isinstance(root, (str, os.PathLike)) or '\0' in str(root):
        raise InputError(f'root must be the path of a folder, got {one_line(repr(root))}')
    return Path(os.path.expanduser(root))


def mirrored(url, file, ending):
    """Where a published file comes from: a URL, or a path."""
    mirror = os.environ.get('RESNEST_MIRROR', '').rstrip('/')
    return f'{mirror.replace("file://", "", 1)}/{file}{ending}' if mirror else url.format(file=file)


def _obtain(spec, path, url, archive):
    """Make ``path`` from a file that lies there or on a mirror's path, otherwise from the network."""
    online = url.lower().startswith(('http://', 'https://'))
    if path.is_file():
        LOG.warning('%s: %s, its sha1 is not %s; getting it again', path, _appearance(path), spec.sha1)
    sources = [path.with_suffix('.zip')]
    if not online:
        mirrored = Path(os.path.expanduser(url))
        sources += [mirrored.with_suffix('.params'), mirrored]
    for source in sources:
        if source.is_file() and source != path:
            with open_plain(source) as opened:
                problem = _unpack(opened, source.suffix == '.params', path, spec.sha1)
            if not problem:
                return
            LOG.warning('%s: %s', source, problem)
    if not online:
        raise InputError('there is no such file, or a damaged one')
    # The open archive itself: on some shares a lock keeps others out.
    download_until(lambda: _unpack(archive, False, path, spec.sha1), url, archive, path.name)


class _Damaged(Exception):
    """Weights that are not the published ones."""


def _unpack(opened, plain, path, sha1):
    """Put the parameters of an open archive, or ``plain`` file, to ``path``; returns what is wrong, None if nothing."""
    opened.seek(0)
    seems = _kind(opened)
    opened.seek(0)
    try:
        with replacing(path) as part:
            with open(part, 'wb') as target:
                if plain:
                    if os.fstat(opened.fileno()).st_size > LARGEST:
                        raise _Damaged(f'larger than {LARGEST} bytes')
                    shutil.copyfileobj(opened, target)
                elif problem := copy_member(opened, path.name, target, LARGEST):
                    raise _Damaged(problem if problem.startswith('the archive') else f'{seems}, {problem}')
            if not _is_whole(part, sha1):
                raise _Damaged(f'{_appearance(part)}, the sha1 of {path.name} is not {sha1}')
        return None
    except _Damaged as error:
        return str(error)


def _appearance(path):
    """What a file that is not the wanted one seems to be."""
    with open_plain(path) as opened:
        return _kind(opened)


def _kind(opened):
    return 'a web page' if (opened.read(512) or b'').lstrip().startswith(b'<') else 'damaged'


def _is_whole(path, sha1):
    """Whether a plain file of that sha1, of no more than 4 GB, is there."""
    if not path.is_file() or path.stat().st_size > LARGEST:
        return False
    digest = hashlib.sha1(usedforsecurity=False)
    with open_plain(path) as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest() == sha1
