"""Files that appear whole or not at all, whatever lies in their place or beside it."""
import contextlib
import fcntl
import multiprocessing
import os
import stat
import time
from pathlib import Path

import pytest

from resnest import files
from resnest.errors import InputError
from resnest.files import replace_file, replacing, require_writable, require_writable_folder
from resnest.locks import lock_file

FORK = multiprocessing.get_context('fork')


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_at_the_end_and_nothing_beside_it(tmp_path):
    path = tmp_path / 'a.txt'
    for text in ('one', 'another'):
        with replacing(path) as part:
            part.write_text(text)
            assert not path.exists() or path.read_text() == 'one'
        assert path.read_text() == text
        assert names(tmp_path) == ['a.txt']
    with contextlib.suppress(ZeroDivisionError), replacing(path) as part:
        part.write_text('half')
        raise ZeroDivisionError
    assert (names(tmp_path), path.read_text()) == (['a.txt'], 'another')


def test_the_umask_says_who_may_read(tmp_path):
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / 'a', b'')
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'a').stat().st_mode) == 0o640


def test_names_as_long_as_names_can_be(tmp_path):
    for name in ('a' * 255, 'é' * 127, 'x' * 240 + 'é'):
        replace_file(tmp_path / name, name)
        assert (tmp_path / name).read_text() == name
        (tmp_path / name).unlink()
    assert names(tmp_path) == []


@pytest.mark.parametrize('make', [
    lambda path, outside: path.symlink_to(outside), lambda path, outside: path.hardlink_to(outside),
    lambda path, outside: path.mkdir(), lambda path, outside: os.mkfifo(path),
    lambda path, outside: path.symlink_to('/dev/full'), lambda path, outside: path.symlink_to(path),
], ids=['link', 'hard link', 'folder', 'pipe', 'device', 'loop'])
@pytest.mark.parametrize('place', ['a.params.part', 'a.params.0123abcd.part', 'a.params'])
def test_nothing_that_lies_there_is_followed(tmp_path, monkeypatch, make, place):
    """A file outside of the folder stays as it is; a folder, a pipe and a device stay where they are."""
    folder, outside, path = tmp_path / 'in', tmp_path / 'outside', tmp_path / 'in/a.params'
    folder.mkdir()
    outside.write_text('precious')
    os.utime(outside, (0, 0))
    make(folder / place, outside)
    monkeypatch.setattr(files, 'ABANDONED', -1)
    kind = (folder / place).lstat().st_mode
    if place == 'a.params' and not path.is_file():
        with pytest.raises(OSError, match='a.params') as caught:
            replace_file(path, 'new')
        assert caught.value.filename == str(path)
    else:
        replace_file(path, 'new')
        assert path.read_text() == 'new'
        assert stat.S_ISREG(path.lstat().st_mode)
    if place != 'a.params':
        assert (folder / place).lstat().st_mode == kind
    assert (outside.read_text(), outside.stat().st_mtime) == ('precious', 0)
    assert names(tmp_path) == ['in', 'outside']
    assert set(names(folder)) <= {'a.params', place}


def test_a_device_is_no_file_to_write():
    with pytest.raises(InputError, match='--json'):
        require_writable('/dev/null', '--json')


@pytest.mark.parametrize('place', ['/proc', '/proc/new', '{here}/file', '{here}/file/new', '{here}/link'])
def test_a_place_that_cannot_be_written_is_known_before_the_work(place, tmp_path):
    """To root too, whom permissions allow everything."""
    (tmp_path / 'file').touch()
    (tmp_path / 'link').symlink_to(tmp_path / 'nothing')
    place = Path(place.format(here=tmp_path))
    with pytest.raises(InputError, match=f'^{place}: no files can be .* give --maps another folder$'):
        require_writable_folder(place, '--maps')
    with pytest.raises(InputError, match=f'^{place}/x: cannot be written .* give --json a file in a folder'):
        require_writable(place / 'x', '--json')


def test_a_place_that_can_be_written_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ('.', 'new/folder', tmp_path / 'new'):
        require_writable_folder(folder, '--maps')
    for path in (None, 'x', tmp_path / 'x'):
        require_writable(path, '--json')
    assert names(tmp_path) == []


def test_a_description_of_weights_is_not_written_over(tmp_path):
    for text, told in (('{"figures": {}, "format": "resnest-weights-1"}', True), ('{"top1": 1}', False), ('[', False),
                       ('{"format": "x", "description": {"format": "resnest-weights-1"}}', False)):
        (tmp_path / 'best.json').write_text(text)
        with pytest.raises(InputError, match='give --json another name') if told else contextlib.nullcontext():
            require_writable(tmp_path / 'best.json', '--json')


def test_a_folder_that_is_not_there_is_told_by_the_files_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        replace_file(tmp_path / 'no/a', '')
    assert caught.value.filename == str(tmp_path / 'no/a')


def write(path, letter, count):
    for _ in range(count):
        with replacing(path) as part, open(part, 'w') as opened:
            for _ in range(20):
                opened.write(letter * 1000)
                opened.flush()


def test_two_writers_of_one_name(tmp_path):
    path = tmp_path / 'a'
    processes = [FORK.Process(target=write, args=(path, letter, 60)) for letter in 'xyz']
    for process in processes:
        process.start()
    deadline = time.time() + 60
    while any(process.is_alive() for process in processes) and time.time() < deadline:
        if path.exists():
            text = path.read_text()
            assert (len(text), len(set(text))) == (20_000, 1)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 3
    assert names(tmp_path) == ['a']


def test_what_is_written_is_not_locked(tmp_path):
    """On a Windows share nobody could write to it but by the descriptor that holds the lock."""
    with replacing(tmp_path / 'a') as part, open(part, 'r+b') as opened:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        opened.write(b'whole')
    assert (tmp_path / 'a').read_bytes() == b'whole'


def test_what_a_killed_process_left_goes_and_what_is_being_written_stays(tmp_path):
    path = tmp_path / 'a[1].txt'
    left, slow, new, other = (tmp_path / name for name in (
        'a[1].txt.00000000.part', 'a[1].txt.0000000a.part', 'a[1].txt.0000000b.part', 'a1.txt.0000000c.part'))
    for each, hours in ((left, 25), (slow, 23), (new, 0), (other, 25)):
        each.write_text('')
        os.utime(each, (time.time() - hours * 3600,) * 2)
    replace_file(path, 'whole')
    assert names(tmp_path) == sorted(each.name for each in (path, slow, new, other))


def test_a_lock_touches_no_file_of_a_second_name(tmp_path):
    outside = tmp_path / 'outside'
    outside.write_text('precious')
    Path(tmp_path / 'lock').hardlink_to(outside)
    with pytest.raises(OSError, match='second name'), lock_file(tmp_path / 'lock'):
        pass
    assert names(tmp_path) == ['lock', 'outside']
