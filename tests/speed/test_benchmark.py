"""Who takes part, the ratios and the table from made-up times, the picture; speeds themselves are not tested."""
import json

import pytest

from resnest.errors import InputError
from resnest.gluon.speed import benchmark
from resnest.gluon.speed.report import draw, drawable, format_table
from resnest.runtime import usable_cores


@pytest.fixture
def timed(monkeypatch):
    """The processes in the order in which they would run, each with times by which ours is 2 to 4 times as fast."""
    ran = []

    def run(settings):
        ran.append((*(settings[key] for key in ('implementation', 'precision', 'data')), 'prepare' in settings))
        rounds = sum(name == ran[-1] for name in ran)
        ours = {'float32': 1.0, 'int8': 0.25}[settings['precision']]
        slow = rounds + 1 if settings['implementation'].startswith('gluoncv') else ours
        return {'seconds': [9.0, slow, slow, slow, slow / 2], 'peak_memory_mb': 100 * rounds,
                'native_operators': settings['precision'] == 'int8'}

    monkeypatch.setattr(benchmark, '_run', run)
    monkeypatch.setattr(benchmark.native, 'available', lambda: True)
    monkeypatch.setattr(benchmark, 'installed', lambda name: '1.0')
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
])
def test_bad_input_is_refused_before_anything_runs(settings, wanted):
    with pytest.raises(InputError, match=wanted):
        benchmark.plan(**{'models': ['resnest14'], **settings})


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
