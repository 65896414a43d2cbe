"""Which files a data set is made of: a folder with its manifest, one ``.rec`` file, or a pattern."""
import glob
import json
import re
from pathlib import Path

from resnest.errors import InputError

from .format import walk

__all__ = ['MANIFEST', 'find_shards', 'read_manifest']

MANIFEST = 'manifest.json'


def find_shards(source, split, partial):
    """The shard files of a source, in order, and the class names that its manifest tells (or None)."""
    path = Path(source).expanduser()
    if path.is_dir():
        manifest = read_manifest(path)
        if manifest and split not in manifest['splits']:
            raise InputError(f"{path}: {MANIFEST} tells of no '{split}' shards, only of "
                             f"{', '.join(manifest['splits']) or 'none'}")
        if manifest:
            return _listed_shards(path, manifest['splits'][split]['shards'], partial), manifest['classes']
        files = sorted(path.glob(f'{split}-*.rec')) or sorted(path.glob('*.rec'))
        if not files:
            raise InputError(f'{path}: no .rec files; run scripts/dataset/prepare_imagenet.py or prepare_digits.py')
        if not partial:
            _check_complete(files)
    elif path.is_file():
        files = [path]
    else:
        files = sorted(Path(name) for name in glob.glob(str(path)))
        if not files:
            raise InputError(f'{path}: no such file or folder; give a folder of shards, a .rec file or a pattern')
    manifest = read_manifest(files[0].parent)
    return files, manifest and manifest['classes']


def _listed_shards(folder, shards, partial):
    """The files that the manifest lists; each must be there (unless ``partial``) with the size that it tells."""
    files = []
    for shard in shards:
        path = folder / shard['file']
        if not path.is_file():
            if partial:
                continue
            raise InputError(f'{path}: missing, but {MANIFEST} lists it; copy it, or prepare the data again')
        if path.stat().st_size != shard['bytes']:
            list(walk(path))        # names the record where it is cut
            raise InputError(f"{path}: truncated or changed: it has {path.stat().st_size} bytes, {MANIFEST} says "
                             f"{shard['bytes']}; copy it, or prepare the data again")
        files.append(path)
    return files


def _check_complete(files):
    """Without a manifest, names such as train-00001-of-00008.rec must be one whole set."""
    matches = [re.fullmatch(r'(.*-)(\d+)(-of-)(\d+)\.rec', file.name) for file in files]
    if all(matches):
        numbers = [(int(match[2]), int(match[4])) for match in matches]
        wanted = [(number, numbers[0][1]) for number in range(numbers[0][1])]
        if numbers != wanted:
            raise InputError(f'{files[0].parent}: {len(files)} shards, but their names tell of a set of '
                             f'{numbers[0][1]}; copy what is missing, or remove what is left over')


def read_manifest(folder):
    """The manifest of a folder of shards as a dict, None without one; raises InputError for a damaged one."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text())
        classes = manifest['classes']
        shards = [shard for split in manifest['splits'].values() for shard in split['shards']]
        valid = isinstance(classes, list) and all(
            isinstance(shard['file'], str) and isinstance(shard['sha256'], str) and shard['bytes'] >= 0 and
            shard['records'] >= 0 for shard in shards)
    except (ValueError, KeyError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise InputError(f'{path}: not a manifest; prepare the data again')
    return manifest
