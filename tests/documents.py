"""The README and docs/*.md taken apart, and a folder in which their commands and snippets can run.

The rules, for whoever writes there: a block fenced as ```bash or ```python is run; other blocks are only looked at.
Commands for what no test has are checked with their script's parser, and Python is compiled: that goes for blocks with
a line ``<!-- parsed only: why -->`` above their fence, and for those of ``horovodrun`` with more than two ranks.
``<!-- slow -->`` above a fence, and commands that train or time, make a test slow. A block below
``<!-- shortened: why -->`` runs on few scenes, for one epoch of each training, with two networks of each design space.
The Python blocks of a page are one program. A command finds what :meth:`World.furnish` puts there.
"""
import argparse
import importlib
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

from resnest.__main__ import COMMANDS
from resnest.gluon import get_model
from resnest.gluon.data import write_shards
from resnest.gluon.models.weights.description import Description, write_description
from resnest.gluon.tasks.classification.names import imagenet_classes

from .conftest import ROOT, encoded, randomize
from .data.preparing import ilsvrc

PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
FENCE = re.compile(r'(?:^<!-- *(?P<mark>[^\n]*?) *-->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```',
                   re.MULTILINE | re.DOTALL)
SLOW = re.compile(r'(train|benchmark|ablation)\.py|resnest (train|benchmark|ablation)|-- --rec-train|--measure')
SHORT = {'num-epochs': 1, 'networks': 2}


class Block(NamedTuple):
    page: str
    number: int
    language: str
    text: str
    mark: str

    def __str__(self):
        return f'{self.page}-{self.number}'

    @property
    def parsed_only(self):
        return self.mark.startswith('parsed only') or any(int(n) > 2 for n in re.findall(r'-np (\d+)', self.text))

    @property
    def runnable(self):
        """The text, with few scenes, networks and epochs where it is to be shortened."""
        if not self.mark.startswith('shortened'):
            return self.text
        text = re.sub(r'(prepare-digit-scenes .*) --train \d+', r'\1 --train 24 --val 12', self.text)
        return re.sub(r'--(num-epochs|networks) \d+', lambda found: f"--{found[1]} {SHORT[found[1]]}", text)

    @property
    def slow(self):
        return self.mark.startswith('slow') or (self.language == 'bash' and bool(SLOW.search(self.text)))


def blocks(page):
    return [Block(page.name, number, found['language'], found['text'], found['mark'] or '')
            for number, found in enumerate(FENCE.finditer(page.read_text(encoding='utf-8')), 1)]


BLOCKS = [block for page in PAGES for block in blocks(page)]


def commands(text):
    """The commands of a block as lists of words, without comments."""
    return [words for line in text.replace('\\\n', ' ').splitlines() if (words := shlex.split(line, comments=True))]


class _Parsed(Exception):
    pass


def parse(words):
    """Have the script, or the ``resnest NAME``, that a command starts parse its options.

    Raises InputError where they are wrong.
    """
    place = next((n for n, word in enumerate(words) if word.endswith('.py') or
                  (Path(word).name == 'resnest' and n + 1 < len(words))), None)
    if place is None:
        return
    path = Path(words[place])
    if path.name == 'resnest':
        place += 1
        name = words[place]
        assert name in COMMANDS, f'{name}: no such command'
        main = importlib.import_module(f'resnest.commands.{COMMANDS[name][0]}').main
        if name in ('env', 'models') and not words[place + 1:]:
            return      # which look at no options where there are none
    else:
        found = [path] if (ROOT / path).is_file() else sorted((ROOT / 'scripts').rglob(path.name))
        assert found, f'{path}: no such script'
        main = runpy.run_path(str(ROOT / found[0]))['main']
    original = argparse.ArgumentParser.parse_args

    def parse_args(self, *args, **kwargs):
        original(self, *args, **kwargs)
        raise _Parsed

    with mock.patch.object(argparse.ArgumentParser, 'parse_args', parse_args):
        try:
            main([word.replace('…', 'x') for word in words[place + 1:]])
        except _Parsed:
            return
    raise AssertionError(f'{words[place]} parses nothing')


def left_over(folder):
    """The files in ``folder`` that a clone's .gitignore would not keep out of a commit."""
    shutil.copy(ROOT / '.gitignore', folder)
    for words in ('init -q', 'add .gitignore'):
        subprocess.run(['git', *words.split()], cwd=folder, check=True, capture_output=True)
    found = subprocess.run(['git', 'ls-files', '--others', '--exclude-standard'], cwd=folder, check=True,
                           capture_output=True, text=True)
    return found.stdout.splitlines()


class World:
    """What the blocks need, made once: digits, archives in ImageNet's layout, pictures, weights."""

    def __init__(self, folder):
        self.folder = folder
        rng = np.random.default_rng(0)
        samples = [(encoded(rng.integers(0, 255, (8, 8), dtype=np.uint8)), n % 10) for n in range(80)]
        write_shards(folder / 'digits/rec', {'train': samples[:64], 'val': samples[64:]}, [*'0123456789'], 2)
        (folder / 'cat.jpg').write_bytes(ilsvrc.picture(rng, edge=240))
        for name in ('a', 'b'):
            (folder / 'photos' / name).mkdir(parents=True)
            (folder / 'photos' / name / '1.jpg').write_bytes(ilsvrc.picture(rng))
        (folder / 'archives').mkdir()
        ilsvrc.make(folder / 'archives')
        shards = [(ilsvrc.picture(rng), n % 1000) for n in range(48)]
        write_shards(folder / 'rec', {'train': shards[:32], 'val': shards[32:]}, list(imagenet_classes()), 2)
        (folder / 'bin').mkdir()
        for name in ('python', 'resnest'):
            (folder / 'bin' / name).write_text(PROGRAM.format(python=sys.executable, folder=str(folder)))
            (folder / 'bin' / name).chmod(0o755)

    def weights(self, model, classes=1000):
        """A file of random weights, in the place of the published or trained ones."""
        path = self.folder / f'{model}-{classes}.params'
        if not path.exists():
            randomize(get_model(model, classes=classes)).save_parameters(str(path))
            if classes == 10:       # of digits: those of a run are described
                options = {'crop_size': 32, 'crop_ratio': 1.0} if model == 'resnest14' else {}
                write_description(path, Description(model, 10, options, [*'0123456789'], decoding='stored'))
        return path

    def furnish(self, folder, text):
        """Put into ``folder`` what the text names and does not make itself."""
        preparing = re.search(r'prepare_imagenet|resnest prepare ', text)
        for name in ('digits', 'photos', *([] if preparing else ['rec'])):
            shutil.copytree(self.folder / name, folder / name)
        shutil.copy(self.folder / 'cat.jpg', folder)
        if preparing:
            shutil.copytree(self.folder / 'archives', folder, dirs_exist_ok=True)
        for run in set(re.findall(r'runs/(\w+)/', text)):
            if f'--save-dir runs/{run}' not in text:
                (folder / 'runs' / run).mkdir(parents=True)
                model = 'resnest50' if run == 'mine' else 'resnest14'
                for ending in ('.params', '.json'):
                    os.link(self.weights(model, 10).with_suffix(ending), folder / 'runs' / run / f'best{ending}')
                shutil.copytree(self.folder / 'digits/rec', folder / 'runs' / run / 'rec')


# Stands for `python` and `resnest` in the commands, so that the published weights are World's.
PROGRAM = '''#!{python}
import os, runpy, sys
from pathlib import Path
if sys.argv[0].endswith('/python'):
    if not (len(sys.argv) > 1 and sys.argv[1].endswith('.py')):
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    sys.argv.pop(0)
import resnest.gluon
from resnest.__main__ import run
resnest.gluon.models.weights.store.model_file = lambda spec, root: Path({folder!r}, spec.name + '-1000.params')
runpy.run_path(sys.argv[0], run_name='__main__') if sys.argv[0].endswith('.py') else run()
'''
