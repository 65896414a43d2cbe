"""What is finished of a folder of shards: a lock, a journal while it grows, the manifest when it is whole."""
import contextlib
import json
import os
from pathlib import Path

from resnest.errors import InputError
from resnest.files import replace_file
from resnest.locks import Held, lock_file

from ..shards.manifest import MANIFEST, read_manifest
from ..shards.writer import sync_folder

__all__ = ['Journal', 'finished_manifest', 'check_folder']

JOURNAL = 'prepare.journal'
LOCK = '.prepare.lock'
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

    ``finished`` maps the names of shards to their entries (file, records, bytes, sha256, skipped).
    """

    def __init__(self, folder, facts, modified, shards):
        self.folder, self.names = folder, set(shards.values())
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
            raise InputError(f'{self.folder}: cannot be written: {error.strerror}; choose another '
                             f'--target-dir') from None
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for part in self.folder.glob('*.part'):
            part.unlink(missing_ok=True)
        self._locked.close()

    def _open(self):
        path = self.folder / JOURNAL
        known = self._read_finished(path)
        strangers = check_folder(self.folder, self.names)
        if strangers:
            raise InputError(f'{strangers[0]}; delete it, or choose another --target-dir')
        for part in self.folder.glob('*.part'):
            part.unlink()
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
            for item in manifest.get('skipped', ()):
                skipped[item['shard']].append(item)
            return [{**entry, 'skipped': skipped[entry['file']]} for entry in entries]
        if not path.is_file():
            return []
        lines = []
        for line in path.read_bytes().split(b'\n')[:-1]:
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
        if not lines:
            raise InputError(f'{path}: not a journal; delete {self.folder} and start again')
        if lines[1:]:
            self._refuse_others(path, lines[0], self.head)
        return lines[1:]

    def _refuse_others(self, path, found, wanted):
        for name, theirs, ours in _differences({key: found.get(key) for key in wanted}, wanted):
            raise InputError(f'{path}: was begun with {name} {theirs}, now it is {ours}; delete {self.folder}, choose '
                             f'another --target-dir, or go on as it was begun')

    def _is_there(self, entry):
        """Whether a shard that was finished is there still, whole."""
        path = self.folder / entry['file']
        index = path.with_suffix('.idx')
        return (path.is_file() and path.stat().st_size == entry['bytes'] and index.is_file()
                and index.read_bytes().count(b'\n') == entry['records'])

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
    return [f'{path}: a shard of another preparation' for path in sorted(folder.glob('*.rec'))
            if path.name not in names]


def _differences(found, wanted, name=''):
    """(dotted name, found, wanted) of the leaves that differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in {**wanted, **found}:
            yield from _differences(found.get(key), wanted.get(key), f'{name}.{key}' if name else key)
    elif found != wanted:
        yield name, found, wanted
