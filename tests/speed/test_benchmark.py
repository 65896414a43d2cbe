"""Who takes part, the ratios and the table from made-up times, the picture; speeds themselves are not tested."""
import json
import os
import sys

import pytest

from resnest.commands.benchmark import main
from resnest.errors import InputError, MissingPackage
from resnest.gluon.speed import benchmark, peers
from resnest.gluon.speed.fresh_process import run_fresh
from resnest.gluon.speed.report import draw, drawable, format_machine, format_table
from resnest.gluon.training import recipe
from resnest.runtime import usable_cores

from ..conftest import assert_refused, run_here


@pytest.fixture
def timed(monkeypatch):
    """The processes in the order in which they would run, each with times by which ours is 2 to 4 times as fast."""
    ran = []

    def run(settings):
        ran.append((*(settings[key] for key in ('implementation', 'precision', 'data')), 'prepare' in settings))
        rounds = sum(name == ran[-1] for name in ran)
        ours = {'float32': 1.0, 'bfloat16': 0.5, 'int8': 0.25}[settings['precision']]
        slow = {'gluoncv': rounds + 1, 'openvino': 2 * ours, 'ours, native': ours / 4}.get(
            settings['implementation'].removesuffix(', default threads'), ours)
        return {'seconds': [9.0, slow, slow, slow, slow / 2], 'peak_memory_mb': 100 * rounds,
                'native_operators': settings['precision'] == 'int8'}

    monkeypatch.setattr(benchmark, '_run', run)
    monkeypatch.setattr(recipe, 'cpu_flags', lambda: recipe.BFLOAT16)
    monkeypatch.setattr(benchmark.native, 'available', lambda: True)
    monkeypatch.setattr(benchmark, 'installed', lambda name: '1.0')
    monkeypatch.setattr(peers, 'installed', lambda name: None)
    return ran


def test_contenders_run_in_turn_and_ratios_are_of_one_round(timed):
    contenders = benchmark.plan(['resnest50'], ['float32', 'int8'], image_size=64, implementations=['ours', 'gluoncv'])
    done, kept = [], []
    told = []
    results = benchmark.compare(contenders, rounds=3, progress=lambda: done.append(1), keep=kept.extend,
                                say=told.append)
    assert [sum(line.startswith(f'round {number} of 3: inference, ours') for line in told) for number in (1, 2, 3)] == \
        [sum(each['implementation'] == 'ours' for each in contenders)] * 3
    assert kept == results
    assert [run for run in timed if not run[3]] == 3 * [
        ('ours', 'float32', 'memory', False), ('ours', 'int8', 'memory', False),
        ('gluoncv', 'float32', 'memory', False), ('gluoncv, default threads', 'float32', 'memory', False)]
    assert [run[:2] for run in timed if run[3]] == [('ours', 'float32'), ('ours', 'int8')]     # exported once
    assert len(done) == len(contenders) * 3
    ours, int8, gluoncv, default = results
    assert (ours['images_per_second'], int8['images_per_second'], gluoncv['images_per_second']) == (16, 64, 16 / 3)
    assert (ours['latency_ms_median'], ours['latency_ms_p90'], ours['peak_memory_mb']) == (1000, 9000, 300)
    assert ours['ratio_to_gluoncv'] == pytest.approx({'median': 3, 'least': 2, 'most': 4})
    assert int8['ratio_to_our_float32'] == {'median': 4, 'least': 4, 'most': 4}
    assert ('ratio_to_our_float32' in ours, 'ratio_to_gluoncv' in gluoncv) == (False, False)
    assert (gluoncv['threads'], default['threads']) == (usable_cores(), 'default')
    assert {'model', 'implementation', 'precision', 'images_per_second', 'latency_ms_median', 'latency_ms_p90',
            'parameters', 'macs', 'peak_memory_mb', 'mode', 'data'} <= ours.keys()
    assert json.loads(json.dumps(results)) == results
    table = format_table(results).splitlines()
    assert ['native' in line for line in table] == [False, False, True, False, False]
    line = table[2]
    assert line.split('  ')[0] == 'resnest50'
    assert '27.48' in line
    assert line.endswith('12.00 (8.00 to 16.00)  4.00 (4.00 to 4.00)')


def test_who_takes_part(timed, squares):
    def names(models, **settings):
        return [(one['implementation'], one['precision'], one['mode'], one['data'])
                for one in benchmark.plan(models, image_size=32, **settings)]

    assert names(['resnest50_fast_1s1x64d']) == [('ours', 'float32', 'inference', 'memory'),
                                                 ('onnxruntime', 'float32', 'inference', 'memory')]
    assert names(['resnest50'], modes=['training'], precisions=['int8']) == [
        (name, 'float32', 'training', 'memory')
        for name in ('ours', 'ours, native', 'gluoncv', 'gluoncv, default threads')]
    assert names(['resnest14'], modes=['training'], precisions=['bfloat16'], implementations=['ours']) == [
        (name, precision, 'training', 'memory') for name, precision in (
            ('ours', 'float32'), ('ours, native', 'float32'), ('ours, native', 'bfloat16'))]
    assert names(['resnest14'], rec_dir=str(squares), implementations=['ours'], modes=['inference', 'training']) == [
        ('ours', 'float32', 'inference', 'memory'), ('ours', 'float32', 'inference', 'records'),
        ('ours', 'float32', 'training', 'memory'), ('ours, native', 'float32', 'training', 'memory')]
    assert names(['deeplab_resnest50_ade'], precisions=['bfloat16'], implementations=['ours', 'gluoncv']) == [
        ('ours', 'bfloat16', 'inference', 'memory'), ('gluoncv', 'float32', 'inference', 'memory'),
        ('gluoncv, default threads', 'float32', 'inference', 'memory')]
    own, = benchmark.plan(['resnest269'], implementations=['ours'])
    assert (own['image_size'], own['crop_ratio']) == (416, 0.928)


def test_detectors_take_part_without_files(timed):
    """With gluoncv's network of another name, without onnxruntime; the parts are told below the table."""
    plan = benchmark.plan(['faster_rcnn_fpn_resnest50'], ['float32', 'int8'], image_size=96, batch_size=1)
    assert [each['implementation'] for each in plan] == ['ours', 'ours', 'gluoncv', 'gluoncv, default threads']
    assert all(each['boxes'] for each in plan)
    results = benchmark.compare(plan, rounds=1)
    assert not any(prepared for *_, prepared in timed)
    parts = {'backbone': 0.03, 'heads': 0.01}
    assert format_table([{**results[0], 'parts': parts}]).splitlines()[-1] == \
        'faster_rcnn_fpn_resnest50 float32, ms: backbone 30 (75.0 %), heads 10 (25.0 %)'
    with pytest.raises(InputError, match='leave out training'):
        benchmark.plan(['faster_rcnn_fpn_resnest50'], modes=['training'])
    with pytest.raises(InputError, match='nothing to draw'):
        drawable(plan, 'x.png')


@pytest.mark.parametrize('settings, wanted', [
    (dict(models=['resnest51']), "no model 'resnest51'"),
    (dict(precisions=['float8']), 'precision must be one of float32, bfloat16, int8, got float8'),
    (dict(batch_size=0), 'batch size must be at least 1'),
    (dict(image_size=8), 'image size must be at least 17'),
    (dict(rec_dir='/nothing'), '/nothing: no such file'),
    (dict(implementations=['onnxruntime'], modes=['training']),
     'nothing to time: onnxruntime cannot take part with resnest14 in float32 .training'),
])
def test_bad_input_is_refused_before_anything_runs(settings, wanted):
    with pytest.raises(InputError, match=wanted):
        benchmark.plan(**{'models': ['resnest14'], **settings})


def test_training_in_bfloat16_needs_a_cpu_for_it(monkeypatch):
    """The command, as the trainer's option; inference needs less."""
    monkeypatch.setattr(benchmark, 'require_cpu', lambda precision: None)
    monkeypatch.setattr(recipe, 'cpu_flags', lambda: {'avx2', 'avx512bw', 'avx512dq', 'avx512vl'})
    monkeypatch.setattr(benchmark.native, 'available', lambda: True)
    result = run_here(main, 'benchmark', '--model', 'resnest14', '--mode', 'training', '--precision', 'bfloat16')
    assert_refused(result, '--precision bfloat16 needs a CPU', 'use --precision float32')


@pytest.mark.parametrize('settings, left_out', [
    (dict(modes=['inference', 'training'], precisions=['float32', 'bfloat16', 'int8']), True),      # make bench
    (dict(modes=['training'], precisions=['float32', 'bfloat16']), True),
    (dict(modes=['training'], precisions=['bfloat16'], implementations=['gluoncv']), False),
    (dict(modes=['training']), False)])
def test_where_more_is_asked_for_it_is_left_out(timed, monkeypatch, settings, left_out):
    monkeypatch.setattr(benchmark, 'require_cpu', lambda precision: None)
    said = []

    def plan():
        return benchmark.plan(['resnest50'], image_size=32, say=said.append, **settings)

    wanted = plan()
    assert not said
    monkeypatch.setattr(recipe, 'cpu_flags', lambda: {'avx2', 'avx512bw', 'avx512dq', 'avx512vl'})
    assert plan() == [each for each in wanted if (each['implementation'], each['precision'], each['mode']) !=
                      ('ours, native', 'bfloat16', 'training')]
    assert said == left_out * ['notice: without our training in bfloat16: this CPU has neither AVX512-BF16 nor AMX']


def test_the_picture_needs_published_accuracies(timed, tmp_path):
    results = benchmark.compare(benchmark.plan(['resnest50', 'resnest50_fast_1s1x64d'], ['float32', 'int8'],
                                               image_size=64, implementations=['ours', 'gluoncv']), rounds=1)
    draw(results, tmp_path / 'speed.svg')
    text = (tmp_path / 'speed.svg').read_text()
    for name in ('resnest50', 'fast_1s1x64d', 'ours, int8', 'gluoncv, float32', '64 px'):
        assert f'<!-- {name}' in text or f'{name})' in text, name
    with pytest.raises(InputError, match='nothing to draw'):
        draw([{**result, 'mode': 'training'} for result in results], tmp_path / 'x.png')
    assert [path.name for path in tmp_path.iterdir()] == ['speed.svg']


def test_what_the_plan_promises_to_draw_is_drawn(timed, squares):
    contenders = benchmark.plan(['skresnet50', 'resnest50'], ['float32', 'int8'], ['inference', 'training'],
                                ['ours', 'gluoncv'], image_size=64, rec_dir=str(squares))
    keys = 'model', 'implementation', 'precision', 'mode', 'data'
    promised, drawn = ([tuple(one[key] for key in keys) for one in drawable(each, 'x')]
                       for each in (contenders, benchmark.compare(contenders, rounds=1)))
    assert promised == drawn == [('resnest50', *more, 'inference', 'memory')
                                 for more in (('ours', 'float32'), ('ours', 'int8'), ('gluoncv', 'float32'))]


ALL = dict.fromkeys(peers.DISTRIBUTIONS, '1.0')


def test_what_was_compared_is_told():
    found = {'cpu': 'A processor', 'cores': 2, 'mxnet': '1.9.1', 'gluoncv': None, **ALL}
    assert format_machine(found) == 'A processor; 2 threads; mxnet 1.9.1, openvino 1.0, nncf 1.0, torch 1.0, timm 1.0'


def test_other_frameworks_take_part_where_they_are_installed(timed, squares, monkeypatch):
    found = {}
    monkeypatch.setattr(benchmark, 'versions_in', lambda python: found)

    def names(model, **settings):
        return [(one['implementation'], one['precision'], one['mode'], one['data'])
                for one in benchmark.plan([model], ['float32', 'bfloat16', 'int8'], image_size=96, **settings)
                if one['implementation'] in peers.FOREIGN]

    assert names('resnest50') == []
    found.update(openvino='1.0', timm='1.0')        # without nncf and torch
    assert names('resnest50') == [('openvino', each, 'inference', 'memory') for each in ('float32', 'bfloat16')]
    found.update(ALL)
    inference = [('openvino', each, 'inference', 'memory') for each in ('float32', 'bfloat16', 'int8')]
    compiled = [('pytorch', each, 'inference', 'memory') for each in ('float32', 'bfloat16')]
    training = [('pytorch', each, 'training', 'memory') for each in ('float32', 'bfloat16')]
    assert names('resnest50', rec_dir=str(squares), modes=['inference', 'training']) == inference + compiled + training
    assert names('resnest50_fast_1s1x64d') == names('deeplab_resnest50_ade') == inference
    assert names('resnest50', implementations=['ours', 'pytorch']) == compiled
    assert names('faster_rcnn_fpn_resnest50') == []


def test_they_are_compared_with_ours_in_the_same_precision(timed, monkeypatch):
    monkeypatch.setattr(benchmark, 'versions_in', lambda python: ALL)
    results = benchmark.compare(benchmark.plan(
        ['resnest50'], ['float32', 'int8'], implementations=['ours', 'onnxruntime', 'openvino']), rounds=1)
    assert [run[:2] for run in timed if run[3]] == [
        ('ours', 'float32'), ('ours', 'int8'), ('onnxruntime', 'float32'), ('openvino', 'int8')]   # one ONNX file
    assert [one.get('ratio_to_ours', {}).get('median') for one in results] == [None, None, None, 0.5, 0.5]
    assert results[-1]['ratio_to_our_float32']['median'] == 2
    table = format_table(results).splitlines()
    assert table[0].endswith('x ours')
    assert table[-1].endswith('0.50 (0.50 to 0.50)')
    _, native, theirs = benchmark.compare(benchmark.plan(
        ['resnest50'], modes=['training'], implementations=['ours', 'pytorch']), rounds=1)
    assert (native['implementation'], theirs['ratio_to_ours']['median']) == ('ours, native', 0.25)


def test_what_is_not_installed_is_named_with_its_command(timed, tmp_path):
    with pytest.raises(MissingPackage, match='openvino, to compare with, is not installed: pip install openvino nncf, '
                                             'here or in an environment whose Python --peers-python names'):
        benchmark.plan(['resnest14'], ['int8'], implementations=['openvino'])
    bare = tmp_path / 'python'      # without any distribution
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(MissingPackage, match=f'pytorch, .* is not installed: {bare} -m pip install torch timm$'):
        benchmark.plan(['resnest14'], implementations=['pytorch'], peers_python=str(bare))
    bare.write_text('#!/bin/sh\n')
    for wrong, why in ((bare, 'it says nothing'), (tmp_path / 'none', 'No such file')):
        with pytest.raises(InputError, match=f'{wrong}: is no Python that runs .{why}.*give --peers-python'):
            benchmark.plan(['resnest14'], peers_python=str(wrong))
    assert timed == []


FAKE = """
import numpy as np


class Core:
    def read_model(self, data):
        assert data == b'the file', data
        return self

    def reshape(self, shape):
        self.shape = shape

    def compile_model(self, model, device, options):
        assert (device, options['INFERENCE_NUM_THREADS'], options['INFERENCE_PRECISION_HINT']) == ('CPU', 3, 'bf16')
        self.shape = model.shape
        return self

    def create_infer_request(self):
        return self

    def infer(self, inputs, share_inputs):
        assert [list(x.shape) for x in inputs] == [self.shape] == [[2, 3, 32, 32]]
"""


def test_a_foreign_contender_needs_no_mxnet(tmp_path):
    """The process of a contender with a made-up framework, in a Python that would fail on mxnet."""
    (tmp_path / 'openvino.py').write_text(FAKE)
    (tmp_path / 'mxnet.py').write_text('1 / 0')
    (tmp_path / 'file').write_bytes(b'the file')
    settings = {'implementation': 'openvino', 'precision': 'bfloat16', 'mode': 'inference', 'model': 'resnest14',
                'threads': 3, 'batch_size': 2, 'image_size': 32, 'files': str(tmp_path / 'file'), 'foreign': True,
                'warmup': 2, 'steps': 4, 'seconds': 10}
    printed = run_fresh('contender', benchmark.CONTENDER, json.dumps(settings),
                        env={**os.environ, 'PYTHONPATH': str(tmp_path)})
    found = json.loads(printed)
    assert len(found['seconds']) == 4
    assert found['native_operators'] is False
