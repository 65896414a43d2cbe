"""What the README says of itself; its commands and snippets are run by test_documents.py."""
import re
import sys

import pytest

from resnest.gluon.device import cpu_flags
from resnest.gluon.inference.optimized.precision import NEEDED
from resnest.gluon.models.cost import table

from .conftest import HOROVODRUN, ROOT, command, read_json, script

README = (ROOT / 'README.md').read_text()


@pytest.mark.slow
def test_demo_reaches_its_accuracy(tmp_path):
    """What ``make demo`` runs once the environment is there; the other precisions agree to one digit in 297."""
    demo = tmp_path / 'demo'
    result = command(sys.executable, ROOT / 'scripts/demo.py', '--out', demo)
    assert result.returncode == 0, result.stdout + result.stderr
    summary = read_json(demo / 'summary.json')
    assert summary['top1'] >= 97
    assert summary['ranks'] == (2 if HOROVODRUN.exists() else 1)
    written = {path.name for path in demo.iterdir()}
    assert written >= {'summary.json', 'curves.png', 'log.jsonl', 'best.params', 'rec', 'explain.png', 'digit-3.png'}
    for precision in ('bfloat16', 'int8'):
        if set(NEEDED[precision]) <= cpu_flags():
            result = script('gluon/verify.py', '--model', 'resnest14', '--rec-dir', demo / 'rec', '--resume',
                            demo / 'best.params', '--crop-size', 32, '--crop-ratio', 1, '--precision', precision,
                            '--json', tmp_path / 'found.json')
            assert result.returncode == 0, result.stderr
            found = read_json(tmp_path / 'found.json')
            assert abs(found['correct1'] - read_json(demo / 'verify.json')['correct1']) <= 1
            assert found['report']['top1_agreement'] >= 0.99
            assert f"top1 agreement: {found['report']['top1_agreement']}" in result.stdout


def test_table_is_what_the_command_prints_first():
    printed = [line.split() for line in table().splitlines()[1:7]]
    wanted = [[name, parameters, macs, crop, top1] for name, parameters, macs, crop, _, top1 in printed]
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in README.splitlines()
            if line.startswith('| resnest') and line.count('|') == 6]
    assert rows == wanted


def test_files_and_options_that_are_named_exist():
    for name in re.findall(r'[A-Z]+\.md|constraints\.txt', README):
        assert (ROOT / name).exists(), name
    options = command(sys.executable, ROOT / 'scripts/gluon/train.py', '--help').stdout
    for option in ('--batch-size', '--lr', '--resume', '--augment'):
        assert option in README
        assert option in options


def test_pip_line_names_extras_that_are_there():
    (constraints, extras), = re.findall(r"^```\npip install -c (\S+) '\.\[([\w,]+)\]'$", README, re.MULTILINE)
    assert (ROOT / constraints).exists()
    declared = re.findall(r"^    '(\w+)': ", (ROOT / 'setup.py').read_text(), re.MULTILINE)
    assert set(extras.split(',')) | {'cu112'} <= set(declared)
