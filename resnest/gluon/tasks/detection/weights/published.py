"""The files that are published for Detectron2: found in the folder of weights or downloaded there once, converted, and
kept under their own names as described ``.params`` files, which are known by their checksums from then on."""
import logging
import os
import re
from pathlib import Path

from resnest.errors import InputError
from resnest.files import require_replaceable
from resnest.gluon.models.weights import store
from resnest.gluon.models.weights.description import read_description
from resnest.gluon.models.weights.downloading import download_until, locked
from resnest.reading import file_digest, one_line

__all__ = ['URL', 'converted_file']

URL = 'https://s3.us-west-1.wasabisys.com/resnest/detectron/{file}.pth'
ENDING = '.pth'
LOG = logging.getLogger(__name__)


def converted_file(spec, root, convert):
    """Path of the weights of a row that are published as ``spec.archive``: a ``.params`` file in the folder ``root``.

    ``convert(source, target)`` makes that of the published file. Most of these have the beginning of their sha256 in
    their names, which is checked. ``$RESNEST_MIRROR`` and the errors are those of
    :func:`resnest.gluon.models.weights.store.model_file`.
    """
    store.require_published(spec)
    folder = store.folder_of(root)
    path = folder / f'{spec.archive}.params'
    url = store.mirrored(URL, spec.archive, ENDING)
    with store.explained(path, url, ENDING):
        if _is_kept(path):
            return path
        folder.mkdir(parents=True, exist_ok=True)
        require_replaceable(path)
        with locked(folder / f'{spec.archive}{ENDING}.part') as archive:
            if not _is_kept(path):      # nobody made it while we waited
                _obtain(spec.archive, path, url, archive, convert)
    return path


def _is_kept(path):
    """Whether a described file is there that is what its description tells."""
    try:
        return path.is_file() and read_description(path) is not None
    except InputError as error:
        LOG.warning('%s; getting it again', error)
        return False


def _obtain(name, path, url, archive, convert):
    """Make ``path`` from a file that lies there or on a mirror's path, otherwise from the network."""
    online = url.lower().startswith(('http://', 'https://'))
    for source in [path.with_suffix(ENDING), *([] if online else [Path(os.path.expanduser(url))])]:
        if source.is_file():
            problem = _convert(name, source, path, convert)
            if not problem:
                return
            LOG.warning('%s: %s', source, problem)
    if not online:
        raise InputError('there is no such file, or a damaged one')
    download_until(lambda: _convert(name, Path(archive.name), path, convert), url, archive,
                   path.with_suffix(ENDING).name)


def _convert(name, source, path, convert):
    """Convert a published file; returns what is wrong with it, None if nothing."""
    wanted = re.search(r'-([0-9a-f]{8})$', name)
    found = file_digest(source)
    if wanted and not found.startswith(wanted[1]):
        return f'damaged: its sha256 begins with {found[:8]}'
    try:
        convert(source, path)
    except InputError as error:
        return one_line(error)
    return None
