"""Numbers, texts and paths given to prepare_imagenet.py and prepare_digits.py."""
import io
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from resnest.errors import run_command
from tests.conftest import script_main
from tests.fuzz.archives import SAMPLES
from tests.fuzz.mutations import hostile_file

NUMBERS = ['0', '1', '2', '3', '7', '-1', '-0', '+1', '4096', '4097', '99999', '100000', '2147483647', '2147483648',
           str(2 ** 63 - 1), str(2 ** 63), str(2 ** 64), '1' * 5000, '1e3', '1.0', 'nan', 'inf', '', ' 1', '٣', '1_0',
           '0x10', '0.5', 'x\ny', '\udcff', '--', '%s', '{}']
PATHS = ['', '.', '..', 'source', 'photos', 'target', 'new/deep/er', 'a\nb', '\x1b[31m', '\u2028', 'a\0b', '~',
         '~nobody-here/x', '~/new', '\udcff', 'é' * 200, 'x/' * 3000 + 'x', '/dev/null', '/dev/zero', '/proc/1/mem',
         '/proc/self/fd', 'file', 'odd', 'odd/rec', '-x', '%s', '{}', 'source/ILSVRC2012_img_train.tar']
COMMANDS = {
    'dataset/prepare_imagenet.py': (['--num-shards', '--num-workers', '-j', '--num-thread', '--seed', '--resize',
                                     '--quality', '--val-fraction'],
                                    ['--download-dir', '--image-folder', '--target-dir'],
                                    ['--checksum', '--raw', '--with-rec', '--check-images', '--skip-bad', '--check']),
    'dataset/prepare_digits.py': (['--num-shards', '--seed'], ['--target-dir'], ['--raw'])}
MAINS = {name: script_main(name) for name in COMMANDS}


def case(rng, folder):
    name = list(COMMANDS)[int(rng.random() < 0.2)]
    numbers, paths, flags = COMMANDS[name]
    words = []
    for option in rng.permutation(numbers)[:rng.integers(3)]:
        words += _pair(rng, option, NUMBERS)
    for option in rng.permutation(paths)[:rng.integers(3)]:
        words += _pair(rng, option, PATHS)
    words += [str(flag) for flag in flags if rng.random() < 0.15]
    if rng.random() < 0.05:
        words.insert(int(rng.integers(len(words) + 1)), str(rng.choice(['--what', 'x\ny', '--seed', '-', '--help'])))
    if '--target-dir' not in ' '.join(words):
        words += ['--target-dir', 'target']
    if name == 'dataset/prepare_imagenet.py' and rng.random() < 0.7:
        words += ['--download-dir', 'source']
    for layout, place in (('tars', 'source'), ('folder', 'photos')):
        for file, data in SAMPLES[layout].items():
            path = folder / 'in/work' / place / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    (folder / 'in/work/file').write_text('x')
    hostile_file(rng, folder / 'in/work/odd')
    os.chdir(folder / 'in/work')
    run(name, words, folder)


def _pair(rng, option, values):
    value = values[rng.integers(len(values))]
    return [str(option), value] if rng.random() < 0.5 or option == '-j' else [f'{option}={value}']


def run(name, words, folder):
    """The command ends with 0, or with 2 and one line."""
    stdout, stderr = io.StringIO(), io.StringIO()
    code = None
    try:
        with mock.patch.dict(os.environ, HOME=str(Path.cwd())), redirect_stdout(stdout), redirect_stderr(stderr):
            run_command(MAINS[name], words)
    except SystemExit as end:
        code = end.code
    lines = [line for line in stderr.getvalue().splitlines() if line.startswith('error: ')]
    assert code in (0, 2), (code, words)
    assert len(lines) == (code == 2), (words, stderr.getvalue()[-500:])
    if code == 2:
        end = stderr.getvalue().rpartition('error: ')[2]
        assert len(end.splitlines()) == 1, (words, end)
        assert len(end) < 8000, (words, end[:200])
    assert sorted(path.name for path in folder.iterdir()) == ['in'], words
