"""Every command and snippet of the README runs."""
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from resnest.gluon.data import RecordSet
from resnest.gluon.models.complexity import table
from tests.conftest import ROOT, assert_refused, command, read_json
from tests.data import ilsvrc

README, DATA = ((ROOT / name).read_text() for name in ('README.md', 'docs/data.md'))
BLOCKS = re.findall(r'^```(\w*)\n(.*?)^```', README, re.MULTILINE | re.DOTALL)
HOROVODRUN = Path(sys.executable).with_name('horovodrun')


def blocks(language):
    return [text for found, text in BLOCKS if found == language]


def test_blocks_are_of_the_kinds_that_are_run():
    """The block without a language installs into another environment; here only its extras are looked at."""
    assert [language for language, _ in BLOCKS] == ['bash', 'python', 'bash', 'bash', '']


@pytest.mark.parametrize('code', blocks('python'))
def test_python_snippets(code):
    result = command(sys.executable, '-c', code)
    assert result.returncode == 0, result.stderr
    assert 'resnest50_fast_1s1x64d' in result.stdout


@pytest.mark.slow
def test_train_and_verify(tmp_path):
    text = blocks('bash')[1].replace('scripts/', f'{ROOT}/scripts/')
    if not HOROVODRUN.exists():     # no C++ compiler: the README says that the rest of the line works alone
        text = text.replace('horovodrun -np 2 -H localhost:2 ', '')
    result = command('bash', '-euc', text, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r'resnest14: top-1 9[789]\.\d\d %|top-1 100', result.stdout)


PREPARING = [blocks('bash')[2], *re.findall(r'^```bash\n(.*?)^```', DATA, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize('text', PREPARING)
def test_preparing_imagenet(text, tmp_path):
    """The README's and docs/data.md's commands, on archives in the official layout."""
    ilsvrc.make(tmp_path)
    for name in ('a', 'b'):
        (tmp_path / 'photos' / name).mkdir(parents=True)
        (tmp_path / 'photos' / name / '1.jpg').write_bytes(ilsvrc.picture(np.random.default_rng(0)))
    # The archives are not the official ones, so --checksum must refuse them; the rest is run without it.
    result = command('bash', '-euc', text.replace('scripts/', f'{ROOT}/scripts/'), cwd=tmp_path)
    if 'benchmark' in text:
        assert_refused(result, 'rec: no such file or folder')
    elif '--checksum' in text:
        assert_refused(result, 'ILSVRC2012_')
    else:
        assert result.returncode == 0, result.stderr
        assert RecordSet(tmp_path / ('prepared/rec' if 'photos' in text else 'rec'), 'train').classes


@pytest.mark.slow
def test_demo_reaches_its_accuracy(tmp_path):
    """What ``make demo`` runs once the environment is there."""
    result = command(sys.executable, ROOT / 'scripts/demo.py', '--out', tmp_path / 'demo')
    assert result.returncode == 0, result.stdout + result.stderr
    summary = read_json(tmp_path / 'demo/summary.json')
    assert summary['top1'] >= 97
    assert summary['workers'] == (2 if HOROVODRUN.exists() else 1)
    written = {path.name for path in (tmp_path / 'demo').iterdir()}
    assert written >= {'summary.json', 'curves.png', 'log.jsonl', 'best.params', 'rec', 'explain.png', 'digit-3.png'}


def test_make_targets_exist():
    listed = command('make', 'help', cwd=ROOT).stdout
    for target in set(re.findall(r'^make ([\w-]+)|`make ([\w-]+)`', README, re.MULTILINE)):
        target = ''.join(target)
        assert f'make {target} ' in listed, target


def test_table_is_what_the_command_prints():
    printed = [line.split() for line in table().splitlines()[1:]]
    wanted = [[name, parameters, macs, crop, '' if top1 == '-' else top1]
              for name, parameters, macs, crop, _, top1 in printed]
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in README.splitlines()
            if line.startswith('| resnest') and line.count('|') == 6]
    assert rows == wanted


def test_files_and_options_that_are_named_exist():
    for name in re.findall(r'(?:scripts|tests|resnest)/[\w/]+\.py|[A-Z]+\.md|constraints\.txt', README):
        assert (ROOT / name).exists(), name
    options = command(sys.executable, ROOT / 'scripts/gluon/train.py', '--help').stdout
    for option in ('--batch-size', '--lr', '--resume', '--augment'):
        assert option in README
        assert option in options


def test_pip_line_names_extras_that_are_there():
    (line,) = blocks('')
    constraints, extras = re.fullmatch(r"pip install -c (\S+) '\.\[([\w,]+)\]'", line.strip()).groups()
    assert (ROOT / constraints).exists()
    declared = re.findall(r"^    '(\w+)': ", (ROOT / 'setup.py').read_text(), re.MULTILINE)
    assert set(extras.split(',')) | {'cu112'} <= set(declared)
