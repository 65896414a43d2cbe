"""The commands as a user runs them: whole runs on small data, and what bad input says."""
import json
import re
import shutil
import sys

import numpy as np
import pytest

from resnest import __version__
from resnest.__main__ import COMMANDS, main
from resnest.gluon.data import RecordSet, write_shards

from .conftest import (
    ROOT,
    assert_refused,
    command,
    encoded,
    horovodrun,
    needs_horovod,
    read_json,
    run_here,
    script,
    script_here,
)

TRAIN = ('--model', 'resnest14', '--input-size', 32, '--crop-ratio', 1, '--augment', 'none', '--batch-size', 16,
         '--num-epochs', 3, '--warmup-epochs', 1, '--lr', 0.02, '--no-cuda')


def train_words(squares, folder, *words):
    return ('--rec-train', squares, '--rec-val', squares, '--save-dir', folder, *TRAIN, *words)


@pytest.fixture(scope='module')
def trained(squares, tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    result = script('gluon/train.py', *train_words(squares, folder, '--label-smoothing', '--last-gamma',
                                                   '--dropblock-prob', 0.1, '--save-frequency', 2))
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.slow
def test_train_writes_everything(trained):
    assert {path.name for path in trained.iterdir()} == {
        '.lock', 'best.json', 'best.params', 'checkpoint-0002-000000.npz', 'checkpoint-0003-000000.npz', 'config.yaml',
        'curves.png', 'log.jsonl', 'summary.json', 'tensorboard'}
    summary = read_json(trained / 'summary.json')
    assert summary['seen'] == 37
    assert summary['config']['label_smoothing'] == 0.1
    rows = (trained / 'log.jsonl').read_text().splitlines()
    assert len(rows) == 3
    assert (trained / 'curves.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.slow
def test_verify_agrees_with_training(trained, squares, tmp_path):
    result = script('gluon/verify.py', '--model', 'resnest14', '--rec-dir', squares, '--resume',
                    trained / 'best.params', '--crop-size', 32, '--crop-ratio', 1, '--no-cuda', '--batch-size', 7,
                    '--json', tmp_path / 'result.json')
    assert result.returncode == 0, result.stderr
    found, summary = read_json(tmp_path / 'result.json'), read_json(trained / 'summary.json')
    assert found['seen'] == 37
    assert (found['top1'], found['top5']) == (summary['top1'], summary['top5'])
    assert found['loss'] == pytest.approx(summary['val_loss'], rel=1e-5)


@pytest.mark.slow
def test_resume_goes_on_where_the_checkpoint_ends(trained, squares, tmp_path):
    """From the checkpoint after two epochs, the third ends with the same log and the same accuracy."""
    shutil.copy(trained / 'checkpoint-0002-000000.npz', tmp_path)
    result = script('gluon/train.py', *train_words(squares, tmp_path, '--label-smoothing', '--last-gamma',
                                                   '--dropblock-prob', 0.1, '--resume', 'auto'))
    assert result.returncode == 0, result.stderr
    assert 'epoch   3' in result.stdout
    assert 'epoch   2' not in result.stdout
    rows, wanted = ([json.loads(line) for line in (folder / 'log.jsonl').read_text().splitlines()]
                    for folder in (tmp_path, trained))
    assert [row['epoch'] for row in rows] == [1, 2, 3]
    assert rows[:2] == wanted[:2]
    for key in ('loss', 'train_top1', 'top1', 'lr'):        # DropBlock's draws are the same too
        assert rows[2][key] == wanted[2][key], key
    assert {path.name for path in tmp_path.iterdir()} >= {'best.params', 'summary.json', 'checkpoint-0003-000000.npz'}


@pytest.mark.slow
@needs_horovod
@pytest.mark.parametrize('words', [(), ('--sharding', 'local', '--auto_aug', '--skip-bad')])
def test_two_ranks_train_together(squares, tmp_path, words):
    result = command(*horovodrun(2), 'resnest', 'train',        # from any folder: this one has nothing in it
                     *train_words(squares, tmp_path, '--num-epochs', 2, *words), cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    summary = read_json(tmp_path / 'summary.json')
    assert (summary['ranks'], summary['global_batch_size'], summary['seen']) == (2, 32, 37)
    assert result.stdout.count('epoch   2') == 1        # only rank 0 writes


@pytest.mark.slow
@needs_horovod
def test_an_error_on_rank_0_is_one_line(squares, tmp_path):
    result = command(*horovodrun(2), sys.executable, ROOT / 'scripts/gluon/train.py',
                     *train_words(squares, tmp_path, '--resume', tmp_path / 'no.npz'))
    output = result.stdout + result.stderr
    assert output.count('error: ') == 1
    assert 'no.npz: no such checkpoint' in output
    assert '<stderr>:Traceback' not in output


@pytest.mark.slow
@needs_horovod
def test_more_ranks_than_records(squares, tmp_path):
    write_shards(tmp_path, {'train': [(encoded(np.zeros((20, 24, 3), np.uint8)), 0)] * 2, 'val': []},
                 ['nw', 'ne', 'sw', 'se'])
    result = command(*horovodrun(3), sys.executable, ROOT / 'scripts/gluon/train.py',
                     *train_words(squares, tmp_path / 'new', '--rec-train', tmp_path))
    assert 'Exit code: 2' in result.stdout + result.stderr
    assert 'error: 3 ranks, but only 2 training records' in result.stdout + result.stderr
    assert '<stderr>:Traceback' not in result.stdout + result.stderr
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('words, wanted', [
    (('--model', 'resnest51'), "no model 'resnest51'; did you mean 'resnest50'?"),
    (('--input-size', 0), '--input-size must be at least 1'),
    (('--input-size', 16), '--input-size must be at least 17'),
    (('--rec-train', '/nothing/here'), '/nothing/here: no such file'),
    (('--batch-size', 97), '96 training records do not fill one batch of 97; use --batch-size 96 or less'),
    (('--num-classes', 2), '--num-classes 2, but the data have 4 classes'),
    (('--save-dir', '/dev/null'), '/dev/null: cannot be written to'),
    (('--lr', 1e30), 'lower --lr, raise --warmup-epochs, or use --skip-nonfinite'),
    (('--resume', '/nothing.npz'), '/nothing.npz: no such checkpoint'),
])
def test_train_refuses(squares, tmp_path, words, wanted):
    result = script_here('gluon/train.py', *train_words(squares, tmp_path / 'new', *words))
    assert_refused(result, wanted)
    left = {path.name for path in (tmp_path / 'new').glob('*')} - {'.lock'}
    assert left == ({'config.yaml'} if '--lr' in words else set())      # that one had begun


def test_train_needs_data():
    assert_refused(script_here('gluon/train.py'), 'the data are missing: give --rec-train')


@pytest.fixture
def damaged(squares, tmp_path):
    folder = tmp_path / 'damaged'
    shutil.copytree(squares, folder)
    path = folder / 'val-00001-of-00003.rec'
    path.write_bytes(path.read_bytes()[:-10])
    return folder


@pytest.mark.slow
def test_verify_refuses(trained, squares, damaged, tmp_path):
    words = ('--model', 'resnest14', '--crop-size', 32, '--no-cuda', '--json', tmp_path / 'x.json')
    best = trained / 'best.params'
    assert_refused(script_here('gluon/verify.py', *words, '--rec-dir', damaged, '--resume', best),
                   'val-00001-of-00003.rec', 'truncated')
    assert_refused(script_here('gluon/verify.py', *words, '--rec-dir', squares, '--resume', best, '--num-classes', 5),
                   'best.params', 'know 4 classes, not 5')
    assert_refused(script_here('gluon/verify.py', *words, '--rec-dir', squares, '--resume', tmp_path / 'no.params'),
                   'no.params: no such file')
    assert_refused(script_here('gluon/verify.py', *words, '--rec-dir', squares, '--model', 'skresnet50'),
                   'no weights are published for skresnet50')
    assert_refused(script_here('gluon/verify.py', *words, '--rec-dir', squares, '--resume', best, '--crop-size', 0),
                   '--crop-size must be from 1 to 16384, got 0')
    assert_refused(script_here('gluon/verify.py', *words, '--rec-dir', squares, '--resume', best, '--crop-size', 16),
                   'the crop size must be a whole number of at least 17')
    assert not (tmp_path / 'x.json').exists()


def test_verify_of_other_classes_needs_a_file(squares):
    assert_refused(script_here('gluon/verify.py', '--model', 'resnest50', '--rec-dir', squares, '--no-cuda'),
                   'the published weights know 1000 classes, not 4')


@pytest.mark.slow
def test_prepare_digits(tmp_path):
    first = script('dataset/prepare_digits.py', '--target-dir', tmp_path / 'a')
    assert first.returncode == 0, first.stderr
    assert script('dataset/prepare_digits.py', '--target-dir', tmp_path / 'b', '--num-shards', 5).returncode == 0
    train, val = (RecordSet(tmp_path / 'a/rec', split) for split in ('train', 'val'))
    assert (len(train), len(val)) == (1500, 297)
    whole = sorted(records[index] for records in (train, val) for index in range(len(records)))
    from sklearn.datasets import load_digits
    labels = sorted(load_digits().target.tolist())
    assert sorted(label for _, label in whole) == labels
    assert train.classes == [str(digit) for digit in range(10)]
    # Any number of shards holds the same sequence.
    other = RecordSet(tmp_path / 'b/rec', 'train')
    assert len(other.files) == 5
    assert all(other[index] == train[index] for index in range(1500))
    assert_refused(script_here('dataset/prepare_digits.py', '--num-shards', 0),
                   '--num-shards must be from 1 to 297, got 0')


VERIFY = ('gluon/verify.py', '--rec-dir', 'x')
CLASSIFY = ('gluon/classify.py', 'x.png')
CONVERT = ('gluon/convert_weights.py', '--model', 'resnest14')
SCALING = ('gluon/scaling.py',)


@pytest.mark.parametrize('words, wanted', [
    ((*VERIFY, '--batch-size', 0), '--batch-size must be at least 1, got 0'),
    ((*VERIFY, '--num-workers', 10 ** 9), '--num-workers must be from 0 to 1024'),
    ((*VERIFY, '-j=-1'), '--num-workers must be'), ((*VERIFY, '--limit', '1e3'), '--limit must be a whole number'),
    ((*VERIFY, '--crop-size', 2 ** 40), '--crop-size must be from'),
    ((*VERIFY, '--input-size', 'x'), '--crop-size must be a whole number'),
    ((*VERIFY, '--crop-ratio', 'nan'), '--crop-ratio must be a finite number'),
    ((*VERIFY, '--calibration-images', 0), '--calibration-images must be at least 1'),
    ((*VERIFY, '--num-classes', 0), '--num-classes must be from 1'), ((*VERIFY, '--json', ''), '--json must be a path'),
    ((*VERIFY, '--model', 'a\nb'), r'--model must be a text without control characters, got a\nb'),
    ((*VERIFY, '--resume', '~nobody-here/x'), '--resume must be a path in the folder of a user that there is'),
    ((*VERIFY, '--limi', 3), 'there is no option --limi; did you mean --limit?'),
    (('gluon/verify.py', '--data-dir', ''), '--data-dir must be a path'),
    (('gluon/verify.py', '--data-dir', 'x', '--rec-dir', 'x'), 'not allowed with'),
    (('gluon/verify.py',), 'one of the arguments --rec-dir --data-dir is required'),
    ((*CLASSIFY, '--top-k', '-1'), '--top-k must be at least 1'), ((*CLASSIFY, '--explain', 'a\0'), r'got a\x00'),
    ((*CLASSIFY, '--classes', ''), '--classes must be a path'), ((*CLASSIFY, '-j', 0), '--num-workers must be from 1'),
    ((*CLASSIFY, '--crop-ratio', 0), '--crop-ratio must be above 0'),
    (('gluon/export.py', '--image-size', '-5'), '--image-size must be from 1'),
    (('gluon/export.py', '--output', 'a\u2028b'), '--output must be a path'),
    (('gluon/export.py', '--calibration-images', 'inf'), '--calibration-images must be a whole number'),
    (('gluon/benchmark.py', '--seconds', 'inf'), '--seconds must be a finite number'),
    (('gluon/benchmark.py', '--rounds', 0), '--rounds must be at least 1'),
    (('gluon/benchmark.py', 'data', '-j', 10 ** 6), '--num-workers must be from'),
    (('gluon/benchmark.py', '--prepare-images', '-1'), '--prepare-images must be from 0'),
    ((*CONVERT, '', 'x'), 'SRC must be a path'), ((*CONVERT, 'x', 'a\nb'), 'DST must be a path'),
    ((*SCALING, '--measure', 0), '--measure must be from 1'), ((*SCALING, '--measure'), '--measure: expected at least'),
    ((*SCALING, '--ranks', 0), '--ranks must be from 1'),
    *(((*SCALING, option, value), f'{option} must be') for value in (0, 'nan', 'inf', '1e-320') for option in (
        '--gbits', '--local-gbits', '--compute-seconds', '--input-rate', '--parameters')),
    ((*SCALING, '--hidden', 1.1), '--hidden must be from 0 to 1'),
    ((*SCALING, '--latency-us', -1), '--latency-us must be from 0'),
    ((*SCALING, '--per-host', 0), '--per-host must be from 1'), ((*SCALING, '--images', 0), '--images must be from 1'),
    ((*SCALING, '--json', 'no/x'), 'no/x: cannot be written'),
    (('demo.py', '--num-epochs', 0), '--num-epochs must be from 1'), (('demo.py', '--out', ''), '--out must be a path'),
])
def test_options_are_refused_before_anything_is_done(words, wanted, tmp_path):
    result = script_here(*words, cwd=tmp_path)
    assert_refused(result, wanted)
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('words', [
    ('--gbits', 1e-6, '--parameters', 1e15, '--compute-seconds', 1e-6), ('--gbits', 1e9, '--hidden', 1, '--ranks', 1),
    ('--input-rate', 1e-6, '--images', 10 ** 9, '--ranks', 10 ** 6), ('--latency-us', 1e9, '--local-latency-us', 0)])
def test_forecasts_of_extremes(words, tmp_path):
    done = script_here(*SCALING, *words, '--json', tmp_path / 'x.json')
    assert (done.returncode, done.stderr) == (0, '')
    rows = read_json(tmp_path / 'x.json')['forecast']
    assert all(0 < row['seconds'] < 1e30 for row in rows)


def test_a_forecast_measures_nothing_and_needs_no_mxnet():
    done = command(sys.executable, '-c', "import sys; sys.modules['mxnet'] = None; sys.argv = ['resnest', 'scaling', "
                   "'--ranks', '8', '--gbits', '10']; from resnest.__main__ import run; run()")
    assert (done.returncode, done.stderr) == (0, '')
    assert '| 10 | float32 | 8 | 192 | 19.4 | 419 | 2442 | 95% |' in done.stdout


def resnest(*words, monkeypatch):
    """As the command, in this process."""
    monkeypatch.setattr(sys, 'argv', ['resnest', *words])
    return run_here(lambda _: main(), 'resnest')


def test_the_command_lists_its_commands(monkeypatch):
    shown = resnest('--help', monkeypatch=monkeypatch)
    assert (shown.returncode, re.findall(r'^  ([\w-]+) ', shown.stdout, re.MULTILINE)) == (0, [*COMMANDS])
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert resnest(monkeypatch=monkeypatch).returncode == 2
    assert resnest('--version', monkeypatch=monkeypatch).stdout == f'resnest {__version__}\n'
    assert_refused(resnest('trian', monkeypatch=monkeypatch), "no command 'trian'; did you mean 'train'?")
    assert_refused(resnest('--foo', monkeypatch=monkeypatch), "no command '--foo'; resnest --help lists all")
    assert resnest('help', 'train', monkeypatch=monkeypatch).stdout.startswith('usage: resnest train ')
    for words, wanted in ((('benchmark', '--modell', 'x'), 'no option --modell; did you mean --model?'),
                          (('models', '--hlep'), 'no option --hlep; did you mean --help?'),
                          (('env', 'extra'), 'unrecognized arguments: extra'),
                          (('verify', '--data-dir', 'x', '--confusion', 'a.xyz'), 'one of .png .pdf .svg .jpg .json'),
                          (('verify', '--data-dir', 'x', '--resume', 'a.onnx'), 'a.onnx: No such file')):
        assert_refused(resnest(*words, monkeypatch=monkeypatch), wanted)
    assert_refused(resnest('export', '--precision', 'in8', monkeypatch=monkeypatch),
                   "--precision must be one of float32, bfloat16, int8, got in8; did you mean 'int8'?")


@pytest.mark.parametrize('name', sorted({*COMMANDS} - {'models', 'env'}))
def test_help_explains_each_option(name, monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')
    result = resnest(name, '--help', monkeypatch=monkeypatch)
    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stdout.startswith(f'usage: resnest {name} ')
    assert result.stdout.index('\n\n') < 250        # what is needed, and no list of all options
    # An option's line goes on with its explanation, or the next line is one.
    explained = re.findall(r'^  (--[\w-]+)[^\n]*?(?:  +|\n {20,})(\w)', result.stdout, re.MULTILINE)
    options = re.findall(r'^  (--[\w-]+)', result.stdout, re.MULTILINE)
    assert len(options) > 1
    assert [option for option, _ in explained] == options
