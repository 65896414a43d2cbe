"""The sources of preparing (official tars, development kit, Kaggle's layout, image folders), and what a stopped run
left, damaged or hostile."""
import gzip
import io
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

from resnest.gluon.data.preparing.imagenet import find_source
from resnest.gluon.data.preparing.preparation import Options, check_prepared, prepare
from tests.data.preparing import ilsvrc
from tests.data.preparing.test_preparation import make_kaggle
from tests.fuzz.mutations import NUMBERS, damaged_bytes, damaged_json, hostile_file

NAMES = ['', '.', '..', '../x', '/x', 'a/../../x', '.tar', '..tar', '...tar', 'x.tar', 'a/...tar', 'n1.tar', '.h.tar',
         'a\0b.tar', 'a\nb.tar', '\udcff.tar', 'é' * 120 + '.tar', 'x' * 300, 'd/' * 99 + 'x', 'd/' * 1100 + 'x', 'a',
         'a/b', 'a/', './a', 'ILSVRC2012_val_00000001.JPEG', 'ILSVRC2012_val_٠٠٠٠٠٠٠١.JPEG', 'x' * 5000, 'PaxHeader']
KINDS = [tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE,
         tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME,
         tarfile.GNUTYPE_LONGLINK, tarfile.GNUTYPE_SPARSE, b'9']
TEXTS = ['', '\0', 'a\nb', '\ufeff', 'é' * 300, '\udcff', '1' * 5000, '-1', 'nan', '0x10', 'n00000001', ',' * 200_000]


def _samples():
    """The bytes of whole sources, {kind: {name: bytes}}, and those of a target that was prepared from the tars."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for kind in ('tars', 'kaggle', 'folder', 'out'):
            (root / kind).mkdir()
        made = ilsvrc.make(root / 'tars', classes=2, train=2, val=3)
        make_kaggle(made, root / 'kaggle')
        for split, images in made.items():
            for name, (data, wnid) in images.items():
                path = root / 'folder' / split / wnid / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        for name in ('tars', 'kaggle', 'folder'):
            found[name] = _read(root / name)
        prepare(find_source(root / 'tars'), root / 'out', Options(num_shards=2, raw=True))
        found['out'] = _read(root / 'out')
    return found


def _read(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


SAMPLES = _samples()
WNIDS = sorted({Path(name).parent.name for name in SAMPLES['folder']})


def case(rng, folder):
    kind = str(rng.choice(['tars', 'tars', 'devkit', 'kaggle', 'folder', 'stopped']))
    source, target = folder / 'source', folder / 'target'
    layout = kind if kind in ('kaggle', 'folder') else 'tars'
    for name, data in SAMPLES[layout].items():
        _write(source / name, data)
    if kind == 'tars':
        path = source / str(rng.choice([ilsvrc.TRAIN, ilsvrc.VAL]))
        path.write_bytes(_tar(rng, path.name) if rng.random() < 0.7 else damaged_bytes(rng, path.read_bytes()))
    elif kind == 'devkit':
        (source / ilsvrc.DEVKIT).write_bytes(_devkit(rng))
    elif kind == 'stopped':
        _leave(rng, target)
    else:
        _disturb(rng, source)
    if rng.random() < 0.05 and layout == 'tars':
        place = source / str(rng.choice([ilsvrc.TRAIN, ilsvrc.VAL, ilsvrc.DEVKIT]))
        place.unlink()
        hostile_file(rng, place)
    before = _names(folder)
    try:
        found = find_source(source, source if layout == 'folder' else None)
        if kind == 'stopped' and rng.random() < 0.3:
            check_prepared(target)
        elif kind == 'stopped' or rng.random() < 0.4:
            options = Options(int(rng.integers(1, 4)), raw=layout == 'tars' and bool(rng.random() < 0.7),
                              skip_bad=bool(rng.random() < 0.3))
            if kind == 'stopped':
                options = Options(num_shards=2, raw=True)
            prepare(found, target, options)
            check_prepared(target)
    finally:
        new = {name for name in _names(folder) - before if name.parts[0] != 'target'}
        assert not new, f'files outside of the target: {new}'
        left = [path for path in (target / 'rec').glob('*.part') if not path.is_dir()]
        left += target.glob('*/.prepare-*') if target.is_dir() else []
        assert not left or kind == 'stopped', f'left: {left}'
        subprocess.run(['rm', '-rf', source], check=True)       # which knows no depth


def _names(folder):
    """What is below a folder, however deep."""
    found, folders = set(), [folder]
    while folders:
        for path in folders.pop().iterdir():
            found.add(path.relative_to(folder))
            folders += [path] * (path.is_dir() and not path.is_symlink())
    return found


def _write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _tar(rng, name):
    """A tar whose members are hostile here and there, every header with the right sum."""
    images = [data for path, data in SAMPLES['folder'].items()]
    if name == ilsvrc.VAL:
        members = [(f'ILSVRC2012_val_{number:08d}.JPEG', images[number]) for number in (1, 2, 3)]
        return _packed(rng, members)
    inner = [(f'{wnid}.tar', _packed(rng, [('a.JPEG', images[0]), ('b/c.JPEG', images[1])], 0.3)) for wnid in WNIDS]
    return _packed(rng, inner, 0.3)


def _packed(rng, members, much=0.9):
    blocks = []
    for name, data in members:
        if rng.random() < much / len(members):
            if rng.random() < 0.5:
                name = NAMES[rng.integers(len(NAMES))]
            if rng.random() < 0.2:
                data = b''
            if rng.random() < 0.3:
                blocks.append(_extended(rng))
        info = tarfile.TarInfo(name)
        info.size = len(data)
        if rng.random() < much * 0.3:
            info.type = KINDS[rng.integers(len(KINDS))]
            info.linkname = NAMES[rng.integers(len(NAMES))]
        layout = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)[rng.integers(3)]
        try:
            head = info.tobuf(layout, 'utf-8', 'surrogateescape')
        except ValueError:      # a name too long for the format
            head = info.tobuf(tarfile.GNU_FORMAT, 'utf-8', 'surrogateescape')
        if rng.random() < much * 0.2:
            head = head[:-512] + _summed(damaged_bytes(rng, head[-512:], 2))
        blocks.append(head + data + bytes(-len(data) % 512))
    blocks.append(bytes(1024 if rng.random() < 0.95 else 0))
    return b''.join(blocks)


def _extended(rng):
    """A pax header with an odd size or path."""
    value = [b'9' * 5000, b'-1', b'', b'5', b'../x', b'/x', b'a\0b', b'd/' * 1100, b'\xff', b'x.tar'][rng.integers(10)]
    line = [b'size=', b'path=', b'GNU.sparse.name=', b'x='][rng.integers(4)] + value + b'\n'
    length = len(line) + 3
    text = str(length + len(str(length)) - 2).encode() + b' ' + line if rng.random() < 0.8 else b'99999 ' + line
    info = tarfile.TarInfo('PaxHeader')
    info.type, info.size = tarfile.XHDTYPE, len(text)
    return info.tobuf(tarfile.USTAR_FORMAT) + text + bytes(-len(text) % 512)


def _summed(block):
    """A header with its checksum put right."""
    block = bytearray((block + bytes(512))[:512])
    if not any(block):
        return bytes(block)
    block[148:156] = b' ' * 8
    block[148:156] = b'%06o\0 ' % sum(block)
    return bytes(block)


def _devkit(rng):
    data = SAMPLES['tars'][ilsvrc.DEVKIT]
    kind = rng.integers(6)
    if kind == 0:
        return damaged_bytes(rng, data)
    if kind == 1:
        return gzip.compress(damaged_bytes(rng, gzip.decompress(data)), 1)
    if kind == 2:
        return gzip.compress(_packed(rng, [(ilsvrc.META, ilsvrc.meta(WNIDS)), (ilsvrc.TRUTH, b'1\n1\n2\n')]), 1)
    meta, truth = ilsvrc.meta(WNIDS), b'1\n1\n2\n'
    if kind == 3:
        meta = damaged_bytes(rng, meta, 8)
    elif kind == 4:
        meta = bytearray(meta)
        for _ in range(int(rng.integers(1, 6))):        # types, flags and sizes are numbers of four bytes
            place = int(rng.integers(32, len(meta) // 4)) * 4
            meta[place:place + 4] = (int(NUMBERS[rng.integers(len(NUMBERS))]) % 2 ** 32).to_bytes(4, 'little')
    elif rng.random() < 0.5:
        truth = damaged_bytes(rng, truth)
    else:
        truth = TEXTS[rng.integers(len(TEXTS))].encode('utf-8', 'surrogateescape')
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w:gz', compresslevel=1) as opened:
        for name, content in ((ilsvrc.META, bytes(meta)), (ilsvrc.TRUTH, truth)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _disturb(rng, source):
    """Change a folder of images, or of Kaggle's: tables, odd names, special files, depth."""
    places = [path for path in sorted(source.rglob('*')) if path.is_file()]
    tables = [path for path in places if path.suffix in ('.csv', '.txt')]
    path = places[rng.integers(len(places))]
    kind = rng.integers(6)
    if kind == 0 and tables:
        table = tables[rng.integers(len(tables))]
        table.write_bytes(damaged_bytes(rng, table.read_bytes()) if rng.random() < 0.7 else
                          TEXTS[rng.integers(len(TEXTS))].encode('utf-8', 'surrogateescape'))
    elif kind == 1:
        path.unlink()
        hostile_file(rng, path)
    elif kind == 2:
        odd = ['x\n', '\udcff', 'é' * 120, '.x', 'x' * 250, ' ', "'", '\u202e', '%s', '{}', '\x1b'][rng.integers(11)]
        whole = path if rng.random() < 0.5 else path.parent
        os.rename(whole, whole.with_name(odd + ('.JPEG' if whole == path else '')))
    elif kind == 3:
        path.parent.joinpath('again').symlink_to([path.parent, source, path, 'nowhere', 'again'][rng.integers(5)])
    elif kind == 4:
        below = path.parent
        for _ in range(int(rng.choice([50, 99, 300, 1100]))):
            below = below / 'd'
            below.mkdir()
        (below / 'deep.JPEG').write_bytes(path.read_bytes())
    else:
        path.write_bytes(damaged_bytes(rng, path.read_bytes()))


def _leave(rng, target):
    """What a run left in the target: a journal or a manifest, damaged; odd things in the place of its files."""
    for name, data in SAMPLES['out'].items():
        if rng.random() < 0.9:
            _write(target / name, data)
    (target / 'rec').mkdir(parents=True, exist_ok=True)
    path = target / 'rec/manifest.json'
    if rng.random() < 0.5:
        path.write_bytes(damaged_json(rng, SAMPLES['out']['rec/manifest.json'].decode()))
    else:
        path.unlink(missing_ok=True)
        lines = [line.encode() for line in _journal()]
        place = int(rng.integers(len(lines)))
        lines[place] = damaged_json(rng, lines[place].decode())
        if rng.random() < 0.2:
            lines.insert(place, lines[place])
        (target / 'rec/prepare.journal').write_bytes(b'\n'.join(lines) + b'\n')
    if rng.random() < 0.3:
        names = ['rec/manifest.json', 'rec/prepare.journal', 'rec/.prepare.lock', 'rec/prepare.journal.part',
                 'rec/manifest.json.part', 'train/.prepare-0.part', *SAMPLES['out']]
        path = target / str(rng.choice(names))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        hostile_file(rng, path)


def _journal():
    manifest = json.loads(SAMPLES['out']['rec/manifest.json'])
    head = {key: manifest[key] for key in ('seed', 'order', 'options', 'source')}
    yield json.dumps({**head, 'source_modified_ns': 0})
    for split in manifest['splits'].values():
        for entry in split['shards']:
            yield json.dumps({**entry, 'skipped': []})


