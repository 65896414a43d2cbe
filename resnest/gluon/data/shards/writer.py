"""Writes RecordIO shards, ``.rec`` and ``.idx``, and checks them; the format is told in :mod:`.format`.

The bytes are those of mxnet.recordio's writer (dmlc-core, src/recordio.cc): data that hold the magic number
at a multiple of 4 bytes are cut there, since a reader finds its way by that number.
"""
import hashlib
import json
import os
import struct

from resnest.errors import InputError
from resnest.files import replace_file, replacing
from resnest.locks import Held, lock_file
from resnest.reading import one_line, read_bytes

from .format import HEADER, LENGTH, LENGTH_BITS, MAGIC
from .manifest import MANIFEST

__all__ = ['LOCK', 'write_shard', 'write_shards', 'check_shard', 'shard_name', 'sync_folder']

LOCK = '.prepare.lock'      # held by who writes shards into a folder
MAGIC_BYTES = struct.pack('<I', MAGIC)


def shard_name(split, shard, shards):
    return f'{split}-{shard:05d}-of-{shards:05d}.rec'


def shard_range(count, shard, shards):
    """First and last place, in the split's order, of what a shard holds."""
    return count * shard // shards, count * (shard + 1) // shards


def frame(data):
    """The bytes of one record: framed, cut where the data hold the magic number, padded to 4 bytes."""
    if len(data) >> LENGTH_BITS:
        raise InputError(f'an image of {len(data)} bytes does not fit a record (at most {LENGTH - HEADER.size})')
    cuts, found = [], data.find(MAGIC_BYTES)
    while found >= 0:
        if found % 4 == 0:
            cuts.append(found)
        found = data.find(MAGIC_BYTES, found + (1 if found % 4 else 4))
    parts, start = [], 0
    for end in [*cuts, len(data)]:
        flag = 0 if not cuts else 1 if start == 0 else 3 if end == len(data) and len(parts) == len(cuts) else 2
        parts.append(struct.pack('<II', MAGIC, flag << LENGTH_BITS | end - start) + data[start:end])
        start = end + 4
    return b''.join(parts) + bytes(-len(data) % 4)


def write_shard(path, records):
    """Write the shard ``path`` (``.rec``, with ``.idx`` beside it); it appears whole or not at all.

    ``records`` yields (id, label, encoded image) in order; only one is held at a time. Returns the shard's entry
    of the manifest: file, records, bytes, sha256. The files are on the disk when it returns.
    """
    digest, offset, lines, index = hashlib.sha256(), 0, [], path.with_suffix('.idx')
    for place in (path, index):
        if os.path.islink(place) or (place.exists() and not place.is_dir() and not place.is_file()):
            place.unlink()      # a link, a pipe or a device would be in the way
    with replacing(path) as part, replacing(index) as index_part:       # the index has its name first
        with open(part, 'wb', buffering=1 << 20) as opened:
            for key, (number, label, image) in enumerate(records):
                data = frame(HEADER.pack(0, label, number, 0) + image)
                digest.update(data)
                opened.write(data)
                lines.append(f'{key}\t{offset}\n')
                offset += len(data)
        with open(index_part, 'w') as opened:
            opened.writelines(lines)
    sync_folder(path.parent)
    return {'file': path.name, 'records': len(lines), 'bytes': offset, 'sha256': digest.hexdigest()}


def write_shards(folder, splits, classes, num_shards=1, **facts):
    """Write RecordIO shards and the manifest into ``folder``; each file appears whole or not at all.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    splits : dict of str to list of (bytes, int)
        Encoded images and labels of ``'train'`` and ``'val'``.
    classes : list of str
        Names in the order of the labels.
    num_shards : int
        Files of each split.
    **facts
        Go into the manifest as they are (seed, options, versions).

    Raises InputError where another process is writing shards into ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock_file(folder / LOCK):
            _write_splits(folder, splits, classes, num_shards, facts)
    except Held:
        raise InputError(f'{one_line(folder)}: another process is preparing into it; wait for it, or choose another '
                         f'folder') from None


def _write_splits(folder, splits, classes, num_shards, facts):
    (folder / MANIFEST).unlink(missing_ok=True)     # it is about to be untrue
    manifest = {'classes': list(classes), 'splits': {}, **facts}
    for split, samples in splits.items():
        shards = []
        for shard in range(num_shards):
            first, last = shard_range(len(samples), shard, num_shards)
            records = ((first + i, label, image) for i, (image, label) in enumerate(samples[first:last]))
            shards.append(write_shard(folder / shard_name(split, shard, num_shards), records))
        manifest['splits'][split] = {'records': len(samples), 'shards': shards}
        kept = {shard['file'] for shard in shards}
        for old in folder.glob(f'{split}-*-of-*.rec'):
            if old.name not in kept:
                old.unlink()
                old.with_suffix('.idx').unlink(missing_ok=True)
    replace_file(folder / MANIFEST, json.dumps(manifest, indent=1))


def check_shard(folder, entry, advance=lambda records: None):
    """Re-read a shard; returns what differs from its manifest entry, as a list of lines that name the file."""
    path = folder / entry['file']
    index = path.with_suffix('.idx')
    if not path.is_file():
        return [f'{path}: missing']
    digest, lines, offset, start, whole, size = hashlib.sha256(), [], 0, 0, True, path.stat().st_size
    with open(path, 'rb', buffering=1 << 20) as opened:
        while whole and offset < size:
            head = opened.read(8)
            magic, word = struct.unpack('<II', head) if len(head) == 8 else (None, 0)
            flag, length = word >> LENGTH_BITS, word & LENGTH
            data = opened.read((length + 3) // 4 * 4)
            whole = magic == MAGIC and len(data) >= length
            start = start if flag in (2, 3) else offset         # of the record that may go on here
            if whole and flag in (0, 1):
                lines.append(f'{len(lines)}\t{offset}\n')
                advance(1)
            digest.update(head)
            digest.update(data)
            offset += len(head) + len(data)
    differences = []
    if size != entry['bytes']:
        differences.append(f'{path}: {size} bytes, the manifest says {entry["bytes"]}')
    elif whole and digest.hexdigest() != entry['sha256']:
        differences.append(f'{path}: its sha256 is not the one of the manifest')
    if not whole:
        number = len(lines) - (flag in (2, 3))
        differences.append(f'{path}: record {number} at byte {start} is truncated or damaged')
    elif len(lines) != entry['records']:
        differences.append(f'{path}: {len(lines)} records, the manifest says {entry["records"]}')
    wanted = ''.join(lines).encode()
    if not index.is_file():
        differences.append(f'{index}: missing')
    elif whole and (index.stat().st_size != len(wanted) or read_bytes(index, len(wanted)) != wanted):
        differences.append(f'{index}: its offsets are not those of the records of {path.name}')
    return differences


def sync_folder(folder):
    """Wait until the names in a folder are on the disk, as well as the files."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
