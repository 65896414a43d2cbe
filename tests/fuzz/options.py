"""Numbers, texts and paths given to the commands, in this process, up to where the work would begin."""
import contextlib
import functools
import io
import os
import runpy
import sys
from unittest import mock

import numpy as np

from resnest.errors import InputError, run_command

from ..conftest import ROOT, encoded
from .mutations import hostile_file

NUMBERS = ['0', '-1', '1', '2', '17', '1e3', '1e308', '1e-320', '-0.0', 'nan', 'inf', '-inf', '0.5', '1.0', '1_0', '٣',
           '0x10', str(2 ** 31 - 1), str(2 ** 31), str(2 ** 63), '9' * 30, '9' * 5000, '']
WORDS = ['', ' ', 'x', 'x\ny', 'a\0b', '\x1b[2J', '\u2028', '--', '-', '-1', '~nobody-here/x', '~/nothing', '.', '..',
         'é' * 300, 'x' * 5000, os.fsdecode(b'\xff'), '%(prog)s', '{}', '"', "'", '[1', 'a=b', 'radix=0', 'auto', '*',
         'resnest14', 'float32', 'int8', 'onnxruntime',]
# No devices by their own names: root might write in their place.
LINKS = {'loop': 'loop', 'null': '/dev/null', 'zero': '/dev/zero', 'full': '/dev/full', 'mem': '/proc/self/mem',
         'kmsg': '/proc/kmsg'}
FILES = ['digits', 'good.yaml', 'picture.png', 'text', 'hostile', 'folder', 'nothing/here', *LINKS]
COMMANDS = {
    'gluon/train.py': ['--rec-train', 'digits', '--rec-val', 'digits', '--print-config', '--model', 'resnest14'],
    'gluon/verify.py': ['--rec-dir', 'digits', '--model', 'resnest14', '--resume', 'nothing.params'],
    'gluon/classify.py': ['picture.png', '--model', 'resnest14', '--resume', 'nothing.params'],
    'gluon/train_segmentation.py': ['--data-dir', 'scenes', '--print-config'],
    'gluon/verify_segmentation.py': ['--data-dir', 'scenes', '--resume', 'nothing.params'],
    'gluon/segment.py': ['picture.png', '--resume', 'nothing.params'],
    'gluon/train_detection.py': ['--data-dir', 'scenes', '--print-config'],
    'gluon/verify_detection.py': ['--data-dir', 'scenes', '--resume', 'nothing.params'],
    'gluon/export.py': ['--model', 'resnest14', '--resume', 'nothing.params'],
    'gluon/convert_weights.py': ['text', 'out.params', '--model', 'resnest14'],
    'gluon/ablation.py': ['good.yaml', '--only', 'C'],
    'gluon/design_space.py': ['A', '--networks', '2', '--max-depth', '2', '--out', 'out', '--', '--rec-train',
                              'digits'],
    'gluon/scaling.py': [],
    'gluon/benchmark.py': ['--model', 'resnest14'],
    'demo.py': [],
}


class Began(Exception):
    """The work would begin."""


def begin(*_, **__):
    raise Began


@functools.cache
def prepared():
    """``{script: (main, options)}``; the options are those that ``--help`` lists."""
    found = {}
    for script in COMMANDS:
        main = runpy.run_path(str(ROOT / 'scripts' / script))['main']
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
            main(['--help'])
        options = {word.strip('[],') for word in shown.getvalue().split() if word.startswith(('--', '[--', '-j'))}
        found[script] = main, sorted(options - {'--help', '--'})
    return found


def furnish(rng, folder):
    from resnest.gluon.data import write_shards
    pixels = np.zeros((20, 20, 3), np.uint8)
    write_shards(folder / 'digits', {'train': [(encoded(pixels), 0)] * 8, 'val': [(encoded(pixels), 0)]}, ['a', 'b'], 1)
    for part in ('images/train', 'images/val', 'maps/train', 'maps/val'):
        (folder / 'scenes' / part).mkdir(parents=True)
        (folder / 'scenes' / part / '1.png').write_bytes(encoded(pixels if 'images' in part else pixels[..., 0] + 1))
    (folder / 'picture.png').write_bytes(encoded(pixels))
    (folder / 'text').write_text('some text\n')
    (folder / 'folder').mkdir()
    for name, target in LINKS.items():
        (folder / name).symlink_to(target)
    (folder / 'good.yaml').write_text('rows: [{name: A, options: {model: resnest14}}, {name: B}]')
    hostile_file(rng, folder / 'hostile')


def value(rng):
    return str(rng.choice([NUMBERS, WORDS, FILES][rng.integers(3)]))


def words(rng, given, options):
    given = list(given)
    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(5)
        if kind == 0 and given:
            given[rng.integers(len(given))] = value(rng)
        else:
            option = str(rng.choice(options))
            if kind == 1:
                option = option[:rng.integers(2, len(option) + 1)]
            place = int(rng.integers(len(given) + 1))
            given[place:place] = [f'{option}={value(rng)}'] if kind == 2 else [option, value(rng)]
    return given


def case(rng, folder):
    here = folder / 'here'      # '..' is ours too
    here.mkdir()
    furnish(rng, here)
    os.chdir(here)
    script = str(rng.choice(list(COMMANDS)))
    main, options = prepared()[script]
    given = words(rng, COMMANDS[script], options)
    if '--help' in given or '-h' in given:
        return
    before = set(os.listdir())
    with contextlib.ExitStack() as stack:
        for name in ('subprocess.Popen', 'subprocess.run', 'resnest.gluon.training.run.engine._Run',
                     'resnest.gluon.speed.scaling_measurement.measure_cases', 'resnest.gluon.speed.benchmark.compare',
                     'resnest.gluon.speed.scaling_measurement.measure_in_job',
                     'resnest.gluon.speed.pipelines.measure_data',
                     'resnest.gluon.tasks.classification.design_space.study.Study',
                     'resnest.gluon.models.weights.store.model_file'):
            stack.enter_context(mock.patch(name, begin))
        stack.enter_context(mock.patch('resnest.gluon.tasks.classification.design_space.spaces.MOST_BATCHES', 2))
        stack.enter_context(mock.patch.dict(os.environ, HOME=str(folder)))
        stack.enter_context(mock.patch.object(sys, 'argv', ['command']))
        try:
            code = ended(main, given)
        except Began:
            return
    assert code in (0, 2), f'exit code {code}'
    left = {name for name in set(os.listdir()) - before if name.endswith('.part')}
    assert not left, left


def ended(main, given):
    """The exit code of a command; InputError where it told of an error."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            run_command(main, given)
    except SystemExit as end:
        errors = told.getvalue().splitlines()
        if end.code == 2:
            raise InputError('\n'.join(line for line in errors if not line.startswith('note')) or '') from None
        return end.code
