"""Ablations: what specs come to, and rows that fail, are finished or of another recipe."""
import json
import math
import os
import re
import signal
import subprocess
import sys

import mxnet as mx
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model
from resnest.gluon.models import VARIANTS, find_variant, override
from resnest.gluon.tasks.classification.ablation.rows import Row, chosen, format_rows, read_spec, train_rows

from ...conftest import ROOT, assert_refused, read_json, script, script_here
from ...training.runs import writer

# Stands for train.py: the accuracy is the seed's, seed 13 fails, and each start is noted.
TRAIN = '''
import json, sys, yaml
from pathlib import Path
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
values = yaml.safe_load(Path(words['--config']).read_text())
folder = Path(words['--save-dir'])
folder.mkdir(exist_ok=True)
with open(folder.parent / 'started', 'a') as log:
    print(folder.name, words['--resume'], file=log)
print('epoch 1')
if values['seed'] == 13:
    print('error: unlucky seed', file=sys.stderr)
    sys.exit(2)
(folder / 'summary.json').write_text(json.dumps({'top1': values['seed'], 'seen': 100, 'epoch': 3, 'seconds': 90,
                                                 'ranks': 1, 'config': values}))
'''


SUMMARY = {'top1': 50.0, 'seen': 100, 'epoch': 3, 'seconds': 90, 'ranks': 1, 'config': {}}


@pytest.fixture
def spec(tmp_path):
    return writer(tmp_path / 'spec.yaml')


@pytest.fixture
def train(tmp_path):
    """Trains rows with the stand-in; returns the exit code, what was said and the rows."""
    (tmp_path / 'train.py').write_text(TRAIN)

    def run(path, only=None, given=None):
        said, rows = [], read_spec(path, given)
        code = train_rows(rows, chosen(rows, only) if only else rows, tmp_path / 'out',
                          [sys.executable, tmp_path / 'train.py'], said.append)
        return code, '\n'.join(said), rows
    return run


def networks(name):
    rows = read_spec(ROOT / f'configs/{name}.yaml')
    return {row.name: (override(find_variant(row.values.get('model', 'resnest50')),
                                row.values.get('model_options', {})), row) for row in rows}


@pytest.mark.parametrize('name, augmented', [('ablation', True), ('ablation_digits', False)])
def test_the_rows_of_table_1(name, augmented):
    found = {key: (net.radix, net.avd_first, row.values.get('mixup', False), row.values.get('augment') == 'autoaugment')
             for key, (net, row) in networks(name).items()}
    others = {key: net.attention for key, (net, _) in networks(name).items() if net.name == 'resnet50_v1d'}
    assert others == ({'+ squeeze-excitation': 'se', '+ scSE': 'scse', '+ selective kernels': 'sk'}
                      if name == 'ablation' else {})
    assert {key: each for key, each in found.items() if key not in others} == {
        'ResNet-D': (0, False, False, False), '+ mixup': (0, False, True, False),
        '+ AutoAugment': (0, False, True, True), 'ResNeSt fast': (2, True, True, augmented),
        'ResNeSt': (2, False, True, augmented)}


def test_the_rows_of_radix_and_cardinality():
    found = networks('ablation_splits')
    for name, (net, row) in found.items():
        radix, cardinality, width = map(int, re.fullmatch(r'(\d)s(\d)x(\d+)d', name).groups())
        assert (net.radix, net.cardinality, net.bottleneck_width) == (radix, cardinality, width)
        assert net.avd_first or not radix
        if radix:
            assert row.published == VARIANTS[f'resnest50_fast_{name}'].top1
    assert len(found) == 1 + sum('fast' in name for name in VARIANTS)


def test_options_are_added_up(spec):
    path = spec('common: {model_options: {radix: 1, stem_width: 8}, seed: 1, lr: 1}\n'
                'rows: [{name: a, published: 80, options: {model_options: {radix: 4}, seed: 2}}, {name: b}]')
    first, second = read_spec(path, {'wd': 0.0})
    assert first == Row('a', {'model_options': {'radix': 4, 'stem_width': 8}, 'seed': 2, 'lr': 1.0, 'wd': 0.0}, 80)
    assert second == Row('b', {'model_options': {'radix': 1, 'stem_width': 8}, 'seed': 1, 'lr': 1.0, 'wd': 0.0})


@pytest.mark.parametrize('text, wanted', [
    ('rows: []', "needs 'rows'"),
    ('rows: [{options: {}}]', "row 1: needs a 'name'"),
    ('rows: [{name: a, option: {}}]', "row 'a': there is no key 'option'"),
    ('row: [{name: a}]', "no key 'row'"),
    ('rows: [{name: a, options: {batchsize: 3}}]', "row 'a': there is no option 'batchsize'"),
    ('rows: [{name: a, options: {num_epochs: 3, warmup_epochs: 4}}]', "row 'a': --warmup-epochs 4 is more than"),
    ('rows: [{name: a, published: high}]', "row 'a': published must be a number"),
    ('rows: [{name: a, published: 101}]', "row 'a': published must be a number"),
    ('rows: [{name: a, published: true}]', "row 'a': published must be a number"),
    ('rows: [{name: a b}, {name: A-B}]', 'names of rows must differ'),
    (r'rows: [{name: "a\nb"}]', 'row 1: its name must be at most 100 characters that can be printed'),
    (f'rows: [{{name: {"a" * 999}}}]', 'row 1: its name must be at most 100 characters'),
    ('rows: {a: 1}', "needs 'rows'"), ('rows: [5]', "row 1: needs a 'name'"), ('[]', 'lines of the form'),
    ('rows: [{name: 5}]', "row 1: needs a 'name'"), ('common: 5\nrows: [{name: a}]', 'must hold options of the form'),
    ('rows: [{name: a, options: [seed]}]', "row 'a': must hold options of the form"),
    ('rows: [{name: a, options: {seed: 3}}]', '--seed: the rows of'),
])
def test_wrong_specs(spec, text, wanted):
    with pytest.raises(InputError, match=re.escape(wanted)):
        read_spec(spec(text), {'seed': 1})


def test_rows_that_fail_and_rows_that_are_finished(spec, train, tmp_path):
    path = spec('rows: [{name: A, options: {seed: 50}, published: 78.5}, {name: B, options: {seed: 13}},'
                ' {name: C, options: {seed: 60}, published: 80}]')
    code, said, rows = train(path)
    assert (code, [row.top1 for row in rows]) == (1, [50, None, 60])
    assert rows[1].failure == 'exit code 2: unlucky seed'
    assert 'B: exit code 2: unlucky seed' in said
    assert 'epoch 1' in (tmp_path / 'out/c.log').read_text()
    assert rows[0].error == pytest.approx(100 * math.sqrt(52 / 104 * 52 / 104 / 104))
    assert (tmp_path / 'out/ablation.md').read_text().splitlines()[2:] == [
        '| A | 50.00 ± 4.90 | +0.00 | 78.50 | +0.00 | 3 | 1.5 |', '| B | failed |  |  |  |  |  |',
        f'| C | 60.00 ± {rows[2].error:.2f} | +10.00 | 80.00 | +1.50 | 3 | 1.5 |']
    assert [row['top1'] for row in read_json(tmp_path / 'out/ablation.json')] == [50, None, 60]
    pytest.importorskip('matplotlib')
    assert (tmp_path / 'out/ablation.png').read_bytes().startswith(b'\x89PNG')

    assert train(path, only=['C'])[0] == 0
    assert train(path)[0] == 1
    assert (tmp_path / 'out/started').read_text().split('\n') == ['a auto', 'b auto', 'c auto', 'b auto', '']

    code, said, rows = train(path, given={'lr': 0.5})
    assert code == 1
    assert 'out/a/summary.json is of another recipe: --lr' in rows[0].failure
    with pytest.raises(InputError, match=r"no row 'D'; the rows are 'A', 'B', 'C'"):
        train(path, only=['D'])


def test_sigterm_between_two_rows_starts_no_other(spec, train, tmp_path):
    rows = read_spec(spec('rows: [{name: A, options: {seed: 50}}, {name: B, options: {seed: 60}}]'))
    said = []

    def say(text):
        said.append(text)
        if text == 'A: 50.00 %':
            os.kill(os.getpid(), signal.SIGTERM)
    assert train_rows(rows, rows, tmp_path / 'out', [sys.executable, tmp_path / 'train.py'], say) == 75
    assert (tmp_path / 'out/started').read_text() == 'a auto\n'
    assert [row.top1 for row in rows] == [50, None]


def test_sigterm_while_a_row_is_started_ends_it(spec, train, tmp_path, monkeypatch):
    start = subprocess.Popen

    def signalled(*args, **kwargs):
        process = start(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGTERM)
        return process
    monkeypatch.setattr(subprocess, 'Popen', signalled)
    assert train(spec('rows: [{name: A, options: {seed: 50}}]'))[0] == 75
    assert not (tmp_path / 'out/a/summary.json').exists()


@pytest.mark.parametrize('text, wanted', [
    ('{', 'not JSON'), ('[]', 'no sensible summary'), ('null', 'no sensible summary'), ('[' * 9999, 'not JSON'),
    *((json.dumps({**SUMMARY, key: value}), f'no sensible {key}') for key, value in (
        ('top1', None), ('top1', 101), ('top1', '50'), ('seen', 0), ('seen', 1.5), ('epoch', 'x'), ('seconds', -1),
        ('seconds', None), ('ranks', 0), ('ranks', [1]), ('config', []), ('config', None))),
    (json.dumps({**SUMMARY, 'config': {'lr': 'x'}}), "lr must be a number, got 'x'"),
    (json.dumps({**SUMMARY, 'config': {'derived': []}}), None),
    (json.dumps({**SUMMARY, 'config': {'derived': [1]}}), 'derived'),
    (json.dumps({**SUMMARY, 'config': {'num_epochs': 1, 'warmup_epochs': 9.0}}), '--warmup-epochs 9 is more than')])
def test_summaries_of_another_shape(spec, tmp_path, text, wanted):
    rows = read_spec(spec('rows: [{name: A}]'))
    (tmp_path / 'out/a').mkdir(parents=True)
    (tmp_path / 'out/a/summary.json').write_text(text)
    assert train_rows(rows, [], tmp_path / 'out', ['false'], print) == 0
    if wanted is None:
        assert (rows[0].failure, rows[0].top1) == (None, 50.0)
    else:
        assert wanted in rows[0].failure
        assert len(rows[0].failure.splitlines()) == 1
        assert rows[0].top1 is None


def test_a_table_without_published_figures():
    assert format_rows([Row('x', {})]).splitlines()[2] == '| x |  |  |  |  |  |  |'


@pytest.mark.slow
def test_an_ablation_of_two_small_networks(squares, spec, tmp_path):
    path = spec('common: {model: resnest14, input_size: 32, batch_size: 16, num_epochs: 2, augment: none, lr: 0.05,\n'
                '  warmup_epochs: 0, model_options: {bottleneck_width: 8, stem_width: 8, blocks: [1, 1, 1, 1]}}\n'
                'rows: [{name: plain, options: {model_options: {radix: 0}}}, {name: split},'
                ' {name: wrong, options: {model_options: {radis: 1}}}]')
    words = ('gluon/ablation.py', path, '--out', tmp_path / 'out', '--', '--rec-train', squares, '--rec-val', squares,
             '--seed', 5)
    result = script(*words, OMP_NUM_THREADS='1')
    assert result.returncode == 1, result.stderr
    wanted = "wrong: exit code 2: --model-options: a row of the table has no 'radis'; did you mean 'radix'?"
    assert wanted in result.stdout
    rows = read_json(tmp_path / 'out/ablation.json')
    for row, radix in zip(rows[:2], (0, 2)):
        summary = read_json(tmp_path / 'out' / row['folder'] / 'summary.json')
        assert summary['top1'] == row['top1']
        assert (summary['seen'], summary['config']['seed']) == (37, 5)
        net = get_model('resnest14', classes=4, radix=radix, bottleneck_width=8, stem_width=8)
        net.load_parameters(str(tmp_path / 'out' / row['folder'] / 'best.params'))
        assert net(mx.nd.zeros((1, 3, 32, 32))).shape == (1, 4)
    assert '| plain | ' in result.stdout
    again = script(*words, OMP_NUM_THREADS='1')
    assert 'row 1 of 3' not in again.stdout
    assert json.loads((tmp_path / 'out/ablation.json').read_text()) == rows


@pytest.mark.parametrize('words, wanted', [
    (['spec.yaml'], '--rec-train FOLDER'),
    (['spec.yaml', '--only', 'b', '--', '--rec-train', 'x', '--rec-val', 'x'], "no row 'b'"),
    (['spec.yaml', '--', '--config', 'x'], '--config'),
    (['no.yaml'], 'no.yaml: '), (['/dev/zero'], '/dev/zero: no plain file'), ([''], 'spec must be a path'),
    (['spec.yaml', '--launcher', 'a "b', '--', '--rec-train', 'x', '--rec-val', 'x'], '--launcher a "b: No closing'),
    (['spec.yaml', '--ranks', '0'], '--ranks must be from 1'), (['spec.yaml', '--workers', '0'], '--ranks must be'),
    (['spec.yaml', '--rank', '2'], 'there is no option --rank; did you mean --ranks?'),
    (['spec.yaml', '--out', 'a\nb'], '--out must be a path'),
    (['spec.yaml', '--', '--num-epoch', '3'], 'there is no option --num-epoch; did you mean --num-epochs?'),
])
def test_wrong_commands(spec, tmp_path, words, wanted):
    spec('rows: [{name: a}]')
    assert_refused(script_here('gluon/ablation.py', *words, cwd=tmp_path), wanted)
