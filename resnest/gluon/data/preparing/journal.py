"""What is finished of a folder of shards: a lock, a journal while it grows, the manifest when it is whole."""
import contextlib
import json
import os
from pathlib import Path

from resnest.errors import InputError
from resnest.files import replace_file
from resnest.locks import Held, lock_file
from resnest.reading import one_line, parse_json, read_bytes

from ..shards.manifest import MANIFEST, read_manifest
from ..shards.writer import LOCK, sync_folder
from .raw_folders import unfinished

__all__ = ['Journal', 'finished_manifest', 'check_folder']

JOURNAL = 'prepare.journal'
SKIPPED = ('shard', 'file', 'member', 'reason')     # what is told of an image that was left out
LONGEST_LINE = 42       # bytes per record in an index: two numbers of 20 digits
LARGEST_INDEX = 1 << 30         # bytes
WAIT = 5        # seconds that the processes of a killed run may take to go


class Journal:
    """The finished shards of ``folder``, locked against a second process while in use (``with``).

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    facts : dict
        Seed, options and source: with others the shards on the disk are refused, not mixed.
    modified : int
        Time (ns) of the last change of the source; while the run is not finished it must not change.
    shards : dict
        Its values are the names of all shards.
    raw_folders : list of Path
        Folders that ``--raw`` writes to.

    Files that a killed run left unfinished are removed when it is entered, those of this one when it is left.

    ``finished`` maps the names of shards to their entries (file, records, bytes, sha256, skipped).
    """

    def __init__(self, folder, facts, modified, shards, raw_folders=()):
        self.folder, self.names, self.raw_folders = folder, set(shards.values()), raw_folders
        self.facts = json.loads(json.dumps(facts))
        self.head = {**self.facts, 'source_modified_ns': modified}
        self.finished = {}
        self._locked = contextlib.ExitStack()

    def __enter__(self):
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._locked.enter_context(lock_file(self.folder / LOCK, WAIT))
        except Held:
            raise InputError(f'{self.folder}: another process is preparing into it; wait for it, or choose another '
                             f'--target-dir') from None
        except OSError as error:
            name = one_line(error.filename or self.folder, 1000)
            raise InputError(f'{name}: cannot be written: {error.strerror}; or choose another --target-dir') from None
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._remove_parts()
        self._locked.close()

    def _remove_parts(self):
        parts = [*self.folder.glob('*.part')]
        for folder in self.raw_folders:
            parts += unfinished(folder)
        for part in parts:
            if part.is_symlink() or not part.is_dir():
                part.unlink(missing_ok=True)

    def _open(self):
        path = self.folder / JOURNAL
        known = self._read_finished(path)
        strangers = check_folder(self.folder, self.names)
        if strangers:
            raise InputError(f'{strangers[0]}; delete it, or choose another --target-dir')
        self._remove_parts()
        self.finished = {entry['file']: entry for entry in known if self._is_there(entry)}
        lines = [self.head, *self.finished.values()]
        replace_file(path, ''.join(json.dumps(line) + '\n' for line in lines))

    def _read_finished(self, path):
        """The entries of the manifest, or of the journal up to the line at which its writer was killed."""
        if (self.folder / MANIFEST).is_file():
            manifest = read_manifest(self.folder)
            self._refuse_others(self.folder / MANIFEST, manifest, self.facts)
            entries = [entry for split in manifest['splits'].values() for entry in split['shards']]
            skipped = {entry['file']: [] for entry in entries}
            try:
                for item in manifest.get('skipped', ()):
                    skipped[item['shard']].append(item)
            except (KeyError, TypeError):
                skipped = {}
            entries = [{**entry, 'skipped': skipped.get(entry['file'])} for entry in entries]
            if not all(map(self._is_entry, entries)):
                raise InputError(f'{self.folder / MANIFEST}: not the manifest of this preparation; delete '
                                 f'{self.folder} and start again')
            return entries
        if not path.is_file():
            return []
        lines = []
        for line in read_bytes(path).split(b'\n')[:-1]:
            try:
                lines.append(parse_json(line.decode(), path))
            except ValueError:
                break
        if not lines or not isinstance(lines[0], dict):
            raise InputError(f'{path}: not a journal; delete {self.folder} and start again')
        if lines[1:]:
            self._refuse_others(path, lines[0], self.head)
        return [entry for entry in lines[1:] if self._is_entry(entry)]

    def _is_entry(self, entry):
        """Whether this is the entry of a finished shard, as :meth:`add` notes it."""
        return (isinstance(entry, dict) and isinstance(entry.get('file'), str) and entry['file'] in self.names
                and all(type(entry.get(key)) is int and entry[key] >= 0 for key in ('records', 'bytes'))
                and isinstance(entry.get('sha256'), str) and isinstance(entry.get('skipped'), list)
                and all(isinstance(item, dict) and all(isinstance(item.get(key), str) for key in SKIPPED)
                        for item in entry['skipped']))

    def _refuse_others(self, path, found, wanted):
        found = {key: found.get(key) for key in wanted}
        if found['decoding'] is None:       # an earlier version: its rule is of no moment where bytes are the original
            if (found.get('options') or {}).get('resize'):
                raise InputError(f'{path}: was begun by an earlier version, whose --resize made other pixels of some '
                                 f'pictures; delete {self.folder}, or choose another --target-dir')
            found['decoding'] = wanted['decoding']
        for name, theirs, ours in _differences(found, wanted):
            raise InputError(f'{path}: was begun with {name} {one_line(theirs, 80)}, now it is {one_line(ours, 80)}; '
                             f'delete {self.folder}, choose another --target-dir, or go on as it was begun')

    def _is_there(self, entry):
        """Whether a shard that was finished is there still, whole."""
        path = self.folder / entry['file']
        index = path.with_suffix('.idx')
        if not path.is_file() or path.stat().st_size != entry['bytes'] or not index.is_file():
            return False
        size = index.stat().st_size
        return (size <= min(LARGEST_INDEX, LONGEST_LINE * entry['records'])
                and read_bytes(index, size).count(b'\n') == entry['records'])

    def forget(self, unwanted):
        """Leave out finished shards, which are then written anew."""
        self.finished = {name: entry for name, entry in self.finished.items() if not unwanted(entry)}

    def add(self, entry):
        """Note a finished shard, whose files are on the disk already."""
        self.finished[entry['file']] = entry
        with open(self.folder / JOURNAL, 'ab') as opened:
            opened.write(json.dumps(entry).encode() + b'\n')
            opened.flush()
            os.fsync(opened.fileno())

    def publish(self, manifest):
        """Write the manifest; the journal has done its work."""
        replace_file(self.folder / MANIFEST, json.dumps(manifest, indent=1))
        sync_folder(self.folder)
        (self.folder / JOURNAL).unlink()
        return manifest


def finished_manifest(folder):
    """The manifest of a folder of shards as a dict; raises InputError where there is none."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest is None:
        what = 'preparing was not finished: run the same command without --check first' \
            if (folder / JOURNAL).is_file() else 'missing; prepare the data first'
        raise InputError(f'{folder / MANIFEST}: {what}')
    return manifest


def check_folder(folder, names):
    """Lines about shards in ``folder`` that are none of ``names``: a reader would take them for data."""
    return [f'{one_line(path, 1000)}: a shard of another preparation' for path in sorted(folder.glob('*.rec'))
            if path.name not in names]


def _differences(found, wanted, name=''):
    """(dotted name, found, wanted) of the leaves that differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in {**wanted, **found}:
            yield from _differences(found.get(key), wanted.get(key), f'{name}.{key}' if name else key)
    elif found != wanted:
        yield name, found, wanted
