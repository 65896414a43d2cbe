"""verify.py, export.py and benchmark.py as a user runs them, and what bad input says."""
import functools
import sys

import pytest

from resnest.gluon import get_model
from resnest.gluon.inference import optimize

from .conftest import (
    ROOT,
    assert_refused,
    command,
    horovodrun,
    needs_horovod,
    randomize,
    read_json,
    script,
    script_here,
    script_main,
)

COUNTS = ('correct1', 'correct5', 'seen')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'random.params'
    randomize(get_model('resnest14', classes=4)).save_parameters(str(path))
    return path


def words(squares, *more):
    return ('--model', 'resnest14', '--rec-dir', squares, '--crop-size', 32, '--crop-ratio', 1, '--no-cuda',
            '--batch-size', 8, *more)


@pytest.mark.slow
def test_an_exported_file_verifies_as_the_network(weights, squares, tmp_path):
    verify = script_main('gluon/verify.py')
    done = script('gluon/export.py', '--model', 'resnest14', '--num-classes', 4, '--resume', weights, '--crop-size', 32,
                  '--output', tmp_path / 'x.onnx')
    assert done.returncode == 0, done.stderr
    assert 'opset 13' in done.stdout
    found = []
    file_alone = ('--rec-dir', squares, '--crop-ratio', 1, '--engine', 'onnxruntime', tmp_path / 'x.onnx')
    for number, given in enumerate((words(squares, '--resume', weights), file_alone)):
        verify(list(map(str, (*given, '--json', tmp_path / f'{number}.json'))))
        found.append(read_json(tmp_path / f'{number}.json'))
    assert [found[0][key] for key in COUNTS] == [found[1][key] for key in COUNTS]
    assert [result['engine'] for result in found] == ['gluon', 'onnxruntime']
    assert [(result['model'], result['crop_size']) for result in found] == [('resnest14', 32)] * 2
    assert found[0].keys() == found[1].keys() == {'model', 'engine', 'precision', 'crop_size', 'top1', 'top5', 'loss',
                                                  *COUNTS, 'nonfinite', 'images_per_second', 'classes'}
    assert found[0]['seen'] == 37
    assert found[0]['images_per_second'] > 0
    assert_refused(script_here('gluon/verify.py', *words(squares, '--engine', 'onnxruntime', tmp_path / 'x.onnx',
                                                    '--num-classes', 5)), 'x.onnx know 4 classes, not 5')


@pytest.mark.slow
def test_int8_is_calibrated_as_asked(weights, squares, tmp_path, monkeypatch):
    for module in ('inference.engines', 'inference.export.symbol_files'):
        # Random weights agree with nothing: every layer in int8.
        monkeypatch.setattr(f'resnest.gluon.{module}.optimize', functools.partial(optimize, agreement=0))
    int8 = ('--precision', 'int8', '--calibration-mode', 'entropy', '--calibration-images', 16, '--resume', weights)
    for name, given in {'verify': (*words(squares, '--limit', 8), '--json', tmp_path / 'x.json'),
                        'export': ('--model', 'resnest14', '--num-classes', 4, '--rec-dir', squares, '--crop-size', 32,
                                   '--format', 'symbol', '--output', tmp_path / 'y')}.items():
        script_main(f'gluon/{name}.py')(list(map(str, (*given, *int8))))
    for name in ('x', 'y'):
        assert read_json(tmp_path / f'{name}.json')['report']['calibration_mode'] == 'entropy'


@pytest.mark.slow
@needs_horovod
def test_two_ranks_count_what_one_counts(weights, squares, tmp_path):
    found = []
    for ranks in (1, 2):
        done = command(*horovodrun(ranks), sys.executable, ROOT / 'scripts/gluon/verify.py',
                       *words(squares, '--resume', weights, '--limit', 31, '--json', tmp_path / f'{ranks}.json'))
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count('top-1') == 1      # only rank 0 tells
        found.append(read_json(tmp_path / f'{ranks}.json'))
    assert found[0]['seen'] == 31
    assert [found[0][key] for key in COUNTS] == [found[1][key] for key in COUNTS]


@pytest.mark.slow
def test_benchmark_writes_results_and_picture(squares, tmp_path):
    done = script('gluon/benchmark.py', '--model', 'resnest14', '--image-size', 32, '--batch-size', 2, '--rounds', 1,
                  '--steps', 3, '--implementation', 'ours', 'onnxruntime', '--rec-dir', squares,
                  '--json', tmp_path / 'speed.json')
    assert done.returncode == 0, done.stderr
    found = read_json(tmp_path / 'speed.json')
    assert found.keys() == {'results', 'machine'}
    assert [(one['model'], one['implementation'], one['precision'], one['data']) for one in found['results']] == [
        ('resnest14', 'ours', 'float32', 'memory'), ('resnest14', 'onnxruntime', 'float32', 'memory'),
        ('resnest14', 'ours', 'float32', 'records'), ('resnest14', 'onnxruntime', 'float32', 'records')]
    for one in found['results']:
        assert one['images_per_second'] == pytest.approx(2e3 / one['latency_ms_median'])
        assert one['latency_ms_p90'] >= one['latency_ms_median']
        assert one['peak_memory_mb'] > 50
    assert found['machine']['cores'] >= 1


@pytest.mark.parametrize('more, wanted', [
    (('--engine', 'torch'), "--engine must be gluon, or onnxruntime with one file, got 'torch'"),
    (('--engine', 'onnxruntime'), '--engine must be gluon, or onnxruntime with one file'),
    (('--engine', 'onnxruntime', 'x.onnx', '--precision', 'int8'), 'out --resume, --model-options and --precision'),
    (('--engine', 'onnxruntime', ROOT / 'README.md'), 'README.md: onnxruntime cannot load it'),
])
def test_verify_refuses(squares, more, wanted):
    assert_refused(script_here('gluon/verify.py', *words(squares, *more)), wanted)


@pytest.mark.slow
@pytest.mark.parametrize('more, wanted', [
    (('--limit', 0), '--limit must be at least 1, got 0'),
    (('--precision', 'int8', '--calibration', '/nothing'), '/nothing: no such file'),
    (('--precision', 'int8', '--calibration-images', 0), '--calibration-images must be at least 1'),
])
def test_verify_refuses_with_weights(weights, squares, more, wanted):
    assert_refused(script_here('gluon/verify.py', *words(squares, '--resume', weights, *more)), wanted)


@pytest.mark.parametrize('name', ['verify', 'export', 'benchmark'])
def test_an_unknown_precision_is_refused(name):
    result = script(f'gluon/{name}.py', '--precision', 'float8', *(('--rec-dir', '.') if name == 'verify' else ()))
    assert result.returncode == 2
    assert '--precision must be one of float32, bfloat16, int8, got float8' in result.stderr.splitlines()[-1]


@pytest.mark.parametrize('option', ['--json', '--picture'])
def test_benchmark_refuses_what_it_could_not_write_in_the_end(option, tmp_path):
    for path in ('/nothing/x.png', tmp_path):
        assert_refused(script_here('gluon/benchmark.py', option, path),
                       f'{path}: cannot be written', f'; give {option} a file')


@pytest.mark.parametrize('words, wanted', [
    (('--picture', 'x.xyz'), '--picture x.xyz: the ending must be one of .png .pdf'),
    (('--picture', 'x'), '--picture x: the ending must be one of'),
    (('--model', 'skresnet50', '--picture', 'x.png'), 'x.png: nothing to draw'),
    (('--mode', 'training', '--picture', 'x.png'), 'x.png: nothing to draw'),
    (('data', '--picture', 'x.png'), '--picture shows networks: leave it out with data'),
])
def test_benchmark_refuses_a_picture_before_it_times(words, wanted, tmp_path, monkeypatch):
    def timed(*_, **__):
        raise AssertionError('timed')
    monkeypatch.setattr('resnest.gluon.speed.benchmark.compare', timed)
    monkeypatch.setattr('resnest.gluon.speed.pipelines.measure_data', timed)
    assert_refused(script_here('gluon/benchmark.py', *words, cwd=tmp_path), wanted)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('more, wanted', [
    (('--precision', 'int8'), '--format onnx writes float32 only, int8 runs on mxnet: use --format symbol'),
    (('--precision', 'bfloat16'), '--format onnx writes float32 only'),
    (('--output', '/nothing/here.onnx'), '/nothing/here.onnx: cannot be written'),
    (('--num-classes', 0), '--num-classes must be from 1 to'),
    (('--image-size', 16), '--image-size must be at least 17'),
    (('--format', 'symbol', '--precision', 'int8'), 'no training images to calibrate int8 with'),
    (('--resume', '/nothing.params'), '/nothing.params: no such file'),
])
def test_export_refuses(tmp_path, more, wanted):
    assert_refused(script_here('gluon/export.py', '--output', tmp_path / 'x', *more), wanted)
    assert list(tmp_path.iterdir()) == []
