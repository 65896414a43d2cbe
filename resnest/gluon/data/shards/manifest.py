"""Which files a data set is made of: a folder with its manifest, one ``.rec`` file, or a pattern."""
import glob
import os
import re
from pathlib import Path

from resnest.errors import InputError
from resnest.reading import one_line, read_json

from ..images.rules import DECODINGS, rule_of_classes
from .format import walk

__all__ = ['MANIFEST', 'find_shards', 'has_shards', 'manifest_held_out', 'manifest_rule', 'read_manifest',
           'shard_folder']

MANIFEST = 'manifest.json'
LARGEST_COUNT = 1 << 62
SPLITS = ('train', 'val')
# Names of the shards of a split, the likeliest first; a letter beside the split's name makes it another word.
NAMES = (r'{}-.*', r'{}', r'{}_.*', r'(.*[^A-Za-z])?{}')


def find_shards(source, split, partial):
    """The shards of a source, in order, the class names that its manifest tells (or None), and the rule of decoding.

    A shard is ``(path, number of records)``, the number that the manifest tells (or None). With ``partial``, those that
    the manifest lists need not be there. Raises InputError.
    """
    try:
        path = Path(source).expanduser()
        if not path.is_dir():
            files = [path] if path.is_file() else sorted(Path(name) for name in glob.glob(str(path)))
            if not files:
                raise InputError(f'{one_line(path)}: no such file or folder; give a folder of shards, a .rec file or a '
                                 f'pattern')
            return _described(files)
        path = shard_folder(path)
        manifest = _own_manifest(path)
        if manifest:
            return _listed(path, manifest, split, partial)
        files = _named(path, split) or _only(path, split)
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:    # a name too long, a home of nobody, a zero byte
        raise InputError(f'{one_line(source)}: cannot be read: {getattr(error, "strerror", None) or error}') from None
    if not files:
        raise InputError(f'{one_line(path)}: no .rec files; run resnest prepare or prepare-digits')
    if not partial:
        _check_complete(files)
    return [(file, None) for file in files], None, 'stored'


def shard_folder(folder):
    """The folder itself, or ``rec/`` in it where preparing has put the shards there (``--target-dir``)."""
    inside = folder / 'rec'
    there = (inside / MANIFEST).is_file() or any(inside.glob('*.rec'))
    return inside if there and not any(folder.glob('*.rec')) else folder


def has_shards(folder, split):
    """Whether shards of a split lie in ``folder``, or in its ``rec/``: those that the manifest lists, or that bear the
    split's name."""
    folder = shard_folder(folder)
    manifest = _own_manifest(folder)
    if manifest is None:
        return bool(_named(folder, split))
    return any((folder / shard['file']).is_file() for shard in manifest['splits'].get(split, {'shards': ()})['shards'])


def _named(folder, split):
    """The shards of a folder without a manifest that bear the name of a split."""
    files = sorted(folder.glob('*.rec'))
    found = ([path for path in files if re.fullmatch(name.format(re.escape(split)), path.stem, re.DOTALL)]
             for name in NAMES)
    return next(filter(None, found), [])


def _only(folder, split):
    """The single shard of a folder, which need not bear the split's name, but must not bear another's."""
    files = sorted(folder.glob('*.rec'))
    if len(files) > 1 or any(_named(folder, other) for other in SPLITS):
        raise InputError(f"{one_line(folder)}: no .rec file bears the name of '{one_line(split)}', as {split}.rec and "
                         f"{split}-0.rec do, and no {MANIFEST} tells which are meant; give a file, or a pattern such "
                         f"as '*.rec'")
    return files


def _own_manifest(folder):
    """As :func:`read_manifest`; None, too, for what others call so, a web application's, say."""
    path = folder / MANIFEST
    if path.is_file():
        try:
            found = read_json(path)
        except InputError:
            found = None
        if isinstance(found, dict) and not found.keys() & {'splits', 'classes'}:
            return None
    return read_manifest(folder)


def _described(files):
    """Single files, with what the manifests beside them tell of them."""
    manifests = {folder: _own_manifest(folder) or {} for folder in {path.parent for path in files}}
    entries = {folder / shard['file']: shard for folder, manifest in manifests.items()
               for entry in manifest.get('splits', {}).values() for shard in entry['shards']}
    for path in files:
        if path in entries:
            _check_size(path, entries[path])
    rules = {folder: manifest_rule(manifest) if manifest else 'stored' for folder, manifest in manifests.items()}
    if len(set(rules.values())) > 1:
        one, other = (next(folder for folder in rules if rules[folder] == rule) for rule in DECODINGS)
        raise InputError(f'{one_line(one)}: its images are turned upright by EXIF, those of {one_line(other)} are not '
                         f'(decoding in {MANIFEST}); prepare them alike')
    first = files[0].parent
    return ([(path, entries[path]['records'] if path in entries else None) for path in files],
            manifests[first].get('classes'), rules[first])


def _listed(folder, manifest, split, partial):
    """The shards that the manifest lists; each must be there (unless ``partial``) with the size that it tells."""
    if split not in manifest['splits']:
        raise InputError(f"{one_line(folder)}: {MANIFEST} tells of no '{split}' shards, only of "
                         f"{one_line(', '.join(manifest['splits']) or 'none')}")
    shards = [(folder / shard['file'], shard) for shard in manifest['splits'][split]['shards']]
    _check_complete([path for path, _ in shards])
    found = []
    for path, shard in shards:
        if path.is_file():
            _check_size(path, shard)
            found.append((path, shard['records']))
        elif not partial or os.path.lexists(path):
            raise InputError(f'{one_line(path)}: missing, but {MANIFEST} lists it; copy it, or prepare the data again')
    return found, manifest['classes'], manifest_rule(manifest)


def _check_size(path, shard):
    size = path.stat().st_size
    if size != shard['bytes']:
        for _ in walk(path):
            pass                # it names the record where the file is cut
        raise InputError(f"{one_line(path)}: truncated or changed: it has {size} bytes, {MANIFEST} says "
                         f"{shard['bytes']}; copy it, or prepare the data again")


def _check_complete(files):
    """Names such as train-00001-of-00008.rec must be one whole set."""
    matches = [re.fullmatch(r'(.*-)(\d{1,18})(-of-)(\d{1,18})\.rec', file.name) for file in files]
    if files and all(matches):
        numbers = [(int(match[2]), int(match[4])) for match in matches]
        total = numbers[0][1]
        if len(numbers) != total or numbers != [(number, total) for number in range(total)]:
            raise InputError(f'{one_line(files[0].parent)}: {len(files)} shards, but their names tell of a set of '
                             f'{total}; copy what is missing, or remove what is left over')


def read_manifest(folder):
    """The manifest of a folder of shards as a dict, None without one; raises InputError for a damaged one.

    ``classes`` is a list of names; ``splits`` has, for each split, the number of ``records`` and its ``shards``: each
    the name of a ``file`` in this folder, its number of ``records`` and ``bytes``, and its ``sha256``. ``skipped``,
    which need not be there, lists what was left out of which ``shard``, and ``decoding`` is :func:`manifest_rule`'s.
    """
    path = folder / MANIFEST
    if not os.path.lexists(path):
        return None
    try:
        manifest = read_json(path)
        wrong = _wrong(manifest)
    except InputError as error:
        raise InputError(f'{error}; not a manifest: prepare the data again') from None
    except (KeyError, TypeError, AttributeError):
        wrong = 'a part of it is missing'
    if wrong:
        raise InputError(f'{one_line(path)}: not a manifest ({one_line(wrong)}); prepare the data again')
    return manifest


def manifest_rule(manifest):
    """The rule by which the images that a manifest lists are decoded, one of :data:`.DECODINGS`.

    Manifests and journals that were written before there were rules do not tell it: people's own pictures are turned
    upright where their bytes are the original ones. Re-encoding used to drop the EXIF with its orientation.
    """
    told = manifest.get('decoding')
    if told is not None:
        return told
    source, options = (found if isinstance(found, dict) else {}
                       for found in (manifest.get('source'), manifest.get('options')))
    original = source.get('kind') == 'image folder' and options.get('resize') is None
    return rule_of_classes(manifest.get('classes', ())) if original else 'stored'


def manifest_held_out(manifest):
    """Which part of a folder a manifest's validation images are: ``val_fraction``, ``seed`` and ``sample``, as
    far as it tells."""
    options = manifest.get('options')
    return {'val_fraction': isinstance(options, dict) and options.get('val_fraction'), 'seed': manifest.get('seed'),
            'sample': manifest.get('sample', [])}


def _wrong(manifest):
    """What is wrong with a manifest, or None; raises KeyError, TypeError or AttributeError for another shape."""
    names = set()
    for split, entry in manifest['splits'].items():
        for shard in entry['shards']:
            name = shard['file']
            if not isinstance(name, str) or not re.fullmatch(r'[^/\0]+\.rec', name) or len(os.fsencode(name)) > 255:
                return f'{one_line(repr(name), 80)} is no name of a .rec file in this folder'
            if name in names:
                return f'{name} is listed twice'
            names.add(name)
            if not (_is_count(shard['records']) and _is_count(shard['bytes']) and isinstance(shard['sha256'], str)):
                return f'records, bytes and sha256 of {name}'
        if not _is_count(entry['records']) or entry['records'] != sum(shard['records'] for shard in entry['shards']):
            return f'the records of {split} are not those of its shards together'
    if not isinstance(manifest['classes'], list) or not all(isinstance(name, str) for name in manifest['classes']):
        return 'classes must be a list of names'
    if not all(item['shard'] in names for item in manifest.get('skipped', ())):
        return 'skipped tells of a shard that is not there'
    if manifest.get('decoding') not in (None, *DECODINGS):
        return f'decoding must be {" or ".join(DECODINGS)}'
    return None


def _is_count(value):
    return type(value) is int and 0 <= value < LARGEST_COUNT
