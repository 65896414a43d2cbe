"""Ablations: runs that differ in a few options each, trained one after another and set beside each other.

A spec is a YAML file: ``common`` has options of ``resnest train`` for every row; each of ``rows`` has a ``name``, the
``options`` that it adds (``model_options`` one by one), and ``published``, a top-1 (%), where there is one.
"""
import json
import math
import os
import re
import shlex
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional

from resnest.errors import EXIT_AGAIN, InputError, MissingPackage
from resnest.files import replace_file
from resnest.gluon.training import recipe
from resnest.gluon.training.fields import option_of
from resnest.gluon.training.options import check_values, read_mapping
from resnest.gluon.training.run.interrupt import sole_run
from resnest.reading import did_you_mean, one_line, read_json

from ..config import ClassificationConfig
from .chart import draw_rows

__all__ = ['Row', 'chosen', 'format_rows', 'read_result', 'read_spec', 'train_rows']

LONGEST_NAME = 100      # characters; a folder is called so


@dataclass
class Row:
    """One run of an ablation. ``values`` are the options by name; ``top1`` and what follows, where it is trained."""
    name: str
    values: dict
    published: Optional[float] = None
    top1: Optional[float] = None
    error: Optional[float] = None       # standard error of top1, in points
    epoch: Optional[int] = None
    seconds: Optional[float] = None
    failure: Optional[str] = None

    @property
    def folder(self):
        """Name of the folder of its run."""
        return re.sub(r'[^a-z0-9]+', '-', self.name.lower()).strip('-')


def read_spec(path, given=None):
    """The rows of a spec, with ``given`` options (of a command line, by name) added to each.

    Raises InputError that names the file and the row: for unknown keys, wrong options, names that are not unique, and
    options that are given although the rows differ in them.
    """
    spec = read_mapping(path)
    _check_keys(spec, {'common', 'rows'}, path)
    if not isinstance(spec.get('rows'), list) or not spec['rows']:
        raise InputError(f"{path}: needs 'rows', a list of entries with name, options and published")
    common = check_values(spec.get('common') or {}, path, ClassificationConfig)
    rows = []
    for number, entry in enumerate(spec['rows'], 1):
        where = f'{path}: row {number}'
        if not isinstance(entry, dict) or not isinstance(entry.get('name'), str):
            raise InputError(f"{where}: needs a 'name' and 'options'")
        if entry['name'] != one_line(entry['name'], LONGEST_NAME):
            raise InputError(f'{where}: its name must be at most {LONGEST_NAME} characters that can be printed')
        where = f"{path}: row '{entry['name']}'"
        _check_keys(entry, {'name', 'options', 'published'}, where)
        published = entry.get('published')
        if published is not None and not _is_percentage(published):
            raise InputError(f'{where}: published must be a number (top-1 in %), got {one_line(published, 60)}')
        own = check_values(entry.get('options') or {}, where, ClassificationConfig)
        for name in own.keys() & (given or {}).keys():
            raise InputError(f'{option_of(name)}: the rows of {path} differ in it; leave it out or write a spec of '
                             f'your own')
        values = {**common, **own, **(given or {})}
        for name in common.keys() & own.keys():
            if isinstance(own[name], dict):
                values[name] = {**common[name], **own[name]}
        try:
            ClassificationConfig(**values)
        except InputError as error:
            raise InputError(f'{where}: {error}') from None
        rows.append(Row(entry['name'], values, published))
    if not all(row.folder for row in rows) or len({row.folder for row in rows}) < len(rows):
        raise InputError(f'{path}: the names of rows must differ in letters or digits')
    return rows


def _check_keys(mapping, known, where):
    for key in mapping:
        if key not in known:
            raise InputError(f"{where}: there is no key '{one_line(key, 60)}'; the keys are {', '.join(sorted(known))}")


def chosen(rows, only):
    """The rows with these names; raises InputError where there is none of a name."""
    for name in only:
        if name not in [row.name for row in rows]:
            names = [row.name for row in rows]
            listing = 'the rows are ' + ', '.join(f"'{each}'" for each in names)
            raise InputError(one_line(f"--only: there is no row '{one_line(name, 60)}'"
                                      f'{did_you_mean(name, names, listing)}', 1000))
    return [row for row in rows if row.name in only]


def train_rows(rows, only, out, command, say=print, write=None, lock=None):
    """Train the rows ``only`` that are not finished, each as a process, and set all rows beside each other.

    Writes into ``out`` a recipe, a log and a folder for each row, and after each row ``ablation.json``, ``ablation.md``
    and ``ablation.png``, or what ``write(rows, out, say)`` does. ``lock`` is the folder that one
    process at a time may have, ``out`` unless given. ``command`` is a list that starts ``resnest train``;
    ``say`` takes what is to be shown. A row that fails is told, and the others go on. Returns the exit code: 0, 1 where
    rows failed, 75 after SIGTERM.
    """
    with sole_run(lock or out, '--out'), _Training() as training:
        for row in rows:
            read_result(row, out)
        for number, row in enumerate(only, 1):
            if row.top1 is None and row.failure is None:
                say(f'row {number} of {len(only)}: {row.name}')
                if not training.run(row, out, command, say):
                    return EXIT_AGAIN
                read_result(row, out)
            say(f"{row.name}: {row.failure or f'{row.top1:.2f} %'}")
            (write or _write)(rows, out, say)
    return int(any(row.failure for row in only))


def read_result(row, out):
    """Fill in what a finished run has written; one of another recipe is a failure."""
    path = Path(out, row.folder, 'summary.json')
    if not path.is_file():
        return
    try:
        found = read_json(path)
        wrong = next((key for key, right in SUMMARY.items() if not right(found.get(key))), None) \
            if isinstance(found, dict) else 'summary'
        if wrong:
            raise InputError(f'{path}: has no sensible {wrong}')
        other = recipe.differences(ClassificationConfig(**row.values), found['config'], found['ranks'], where=path)
    except InputError as error:
        row.failure = f'{error}; remove this file'
        return
    if other:
        row.failure = f"{path} is of another recipe: {', '.join(other)}; remove {path.parent} or use another --out"
        return
    # Two more right and two more wrong (Agresti and Coull, 1998): no error of 0 where all are right.
    images = found['seen'] + 4
    share = (found['top1'] / 100 * found['seen'] + 2) / images
    row.top1, row.epoch, row.seconds = found['top1'], found['epoch'], found['seconds']
    row.error = 100 * math.sqrt(share * (1 - share) / images)


def _is_count(value):
    return type(value) is int and 0 < value < 1 << 31


def _is_percentage(value):
    return type(value) in (int, float) and 0 <= value <= 100


# What is read of the summary of a run.
SUMMARY = {'top1': _is_percentage, 'seen': _is_count, 'epoch': _is_count, 'ranks': _is_count,
           'seconds': lambda value: type(value) in (int, float) and 0 <= value < 1e12,
           'config': lambda value: isinstance(value, dict)}


class _Training:
    """Starts the process of a row; SIGTERM in its context reaches that process, and there is no next one."""

    def __init__(self):
        self._process, self._stopped = None, False

    def __enter__(self):
        self._before = signal.signal(signal.SIGTERM, self._stop)
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGTERM, self._before)

    def _stop(self, *_):
        self._stopped = True
        if self._process:
            self._process.terminate()

    def run(self, row, out, command, say):
        """Train a row; False where it was stopped. Its output is shown and goes to a log beside its folder."""
        if self._stopped:
            return False
        settings = Path(out, f'{row.folder}.yaml')
        replace_file(settings, recipe.to_yaml(row.values))
        words = [*command, '--config', settings, '--save-dir', Path(out, row.folder), '--resume', 'auto']
        say('$ ' + shlex.join(map(str, words)))
        fault = last = ''
        with open(Path(out, f'{row.folder}.log'), 'a', opener=_open_at_once) as log:
            self._process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE,
                                             stderr=subprocess.STDOUT, text=True, errors='replace')
            if self._stopped:       # by a signal that came before there was a process to pass it on to
                self._process.terminate()
            for line in self._process.stdout:
                log.write(line)
                last = line.strip() or last
                _, found, told = line.partition('error: ')
                fault = told.strip() if found and not fault else fault
                say(line.rstrip('\n'))
            code = self._process.wait()
        if self._stopped or code == EXIT_AGAIN:
            return False
        if code or not Path(out, row.folder, 'summary.json').is_file():
            row.failure = f'exit code {code}: {fault or last}'
        return True


def _open_at_once(name, flags):
    return os.open(name, flags | os.O_NONBLOCK, 0o666)      # a pipe without a reader would have us wait for one


def _write(rows, out, say):
    results = [{**asdict(row), 'folder': row.folder} for row in rows]
    replace_file(Path(out, 'ablation.json'), json.dumps(results, indent=1) + '\n')
    replace_file(Path(out, 'ablation.md'), format_rows(rows))
    try:
        draw_rows(rows, Path(out, 'ablation.png'))
    except MissingPackage as error:
        say(f'note: no ablation.png: {error}')


def format_rows(rows):
    """A Markdown table: top-1 with its standard error, the gain over the first row, and both as published."""
    first = rows[0]
    lines = ['| row | top-1 (%) | gain | published (%) | gain | best epoch | minutes |',
             '| --- | ---: | ---: | ---: | ---: | ---: | ---: |']
    for row in rows:
        cells = ['', '', '', '']
        if row.failure:
            cells[0] = 'failed'
        elif row.top1 is not None:
            cells = [f'{row.top1:.2f} ± {row.error:.2f}', _gain(row.top1, first.top1), str(row.epoch),
                     f'{row.seconds / 60:.1f}']
        published = ['' if row.published is None else f'{row.published:.2f}', _gain(row.published, first.published)]
        lines.append(f"| {' | '.join([row.name.replace('|', '/'), *cells[:2], *published, *cells[2:]])} |")
    return '\n'.join(lines) + '\n'


def _gain(value, base):
    return '' if None in (value, base) else f'{value - base:+.2f}'
