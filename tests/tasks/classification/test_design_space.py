"""Design spaces: what is drawn from them, what it costs, and what is said of the errors."""
import re
import subprocess
import sys
from dataclasses import replace

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model
from resnest.gluon.models.cost import complexity
from resnest.gluon.streams import generator
from resnest.gluon.tasks.classification.design_space import study as study_module
from resnest.gluon.tasks.classification.design_space.networks import MODEL, Networks
from resnest.gluon.tasks.classification.design_space.spaces import (
    PAPERS,
    SPACES,
    Limits,
    draw,
    linear_rule,
    log_uniform,
    sample,
)
from resnest.gluon.tasks.classification.design_space.study import Study, band, best_range, distribution, rows_of

from ...conftest import assert_refused, read_json, script, script_here, script_main

SMALL = Limits(depth=3, width=64, group=8, stem=8)
BUDGET = 360_000_000, 400_000_000
# Radosavovic et al., 2020, tables 2 and 4: w0, wa, wm → depths, widths
REGNETS = {'X-400MF': (22, 24, 24.48, 2.54, 16, (1, 2, 7, 12), (32, 64, 160, 384)),
           'X-800MF': (16, 56, 35.73, 2.28, 16, (1, 3, 7, 5), (64, 128, 288, 672)),
           'X-1.6GF': (18, 80, 34.01, 2.25, 24, (2, 4, 10, 2), (72, 168, 408, 912)),
           'X-3.2GF': (25, 88, 26.31, 2.25, 48, (2, 6, 15, 2), (96, 192, 432, 1008))}
# Stands for resnest train: the error follows from the depth, and each start is noted.
TRAIN = '''
import json, os, sys, yaml
from pathlib import Path
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
values = yaml.safe_load(Path(words['--config']).read_text())
folder = Path(words['--save-dir'])
folder.mkdir(exist_ok=True)
with open(folder.parent / 'started', 'a') as log:
    print(folder.name, file=log)
(folder / 'summary.json').write_text(json.dumps({'top1': 50 + sum(values['model_options']['blocks']), 'seen': 100,
                                                 'epoch': 3, 'seconds': 90, 'ranks': 1, 'config': values}))
'''


def drawn(name, limits=PAPERS, seed=0, count=1 << 13):
    return draw(SPACES[name], count, np.random.default_rng(seed), limits)


def test_the_regnet_of_400_million():
    """Its parameters and multiply-adds are known (timm's regnetx_004 has 5,157,512 parameters)."""
    _, _, _, _, group, depths, widths = REGNETS['X-400MF']
    networks = Networks(*(np.array([row]) for row in (depths, widths, (1,) * 4, (group,) * 4)))
    parameters, macs = complexity(get_model(MODEL, **networks.options(0)))
    assert (parameters, [macs]) == (5_157_512, networks.multiply_adds().tolist())


@pytest.mark.parametrize('name', REGNETS)
def test_the_linear_rule_gives_the_published_networks(name):
    depth, start, slope, factor, group, depths, widths = REGNETS[name]
    found_depths, found, four = linear_rule([depth], [start], [slope], [factor])
    assert (tuple(found_depths[0]), four.all()) == (depths, True)
    assert tuple((group * np.rint(found / group))[0]) == widths


def test_the_linear_rule_against_a_loop():
    random = np.random.default_rng(0)
    depth, start = random.integers(4, 30, 50), 8 * random.integers(1, 30, 50)
    slope, factor = random.uniform(8, 80, 50), random.uniform(1.5, 3, 50)
    for *found, four, given in zip(*linear_rule(depth, start, slope, factor), zip(depth, start, slope, factor)):
        d, w0, wa, wm = given
        widths = [8 * round(w0 * wm ** round(np.log((w0 + wa * j) / w0) / np.log(wm)) / 8) for j in range(d)]
        stages = sorted(set(widths))
        assert four == (len(stages) == 4)
        if four:
            assert [list(each) for each in found] == [[widths.count(stage) for stage in stages], stages]


@pytest.mark.parametrize('radix', [None, 1, 2])
@pytest.mark.parametrize('name', SPACES)
def test_multiply_adds_are_those_of_the_built_network(name, radix):
    networks = drawn(name, replace(SMALL, radix=radix, width=256))
    for index, (size, classes) in enumerate(((64, 10), (97, 7))):
        net = get_model(MODEL, classes=classes, **networks.options(index))
        assert complexity(net, size)[1] == networks.multiply_adds(size, classes)[index]


def test_a_network_computes():
    networks = drawn('A', replace(SMALL, radix=2))
    net = get_model(MODEL, classes=3, **networks.options(0))
    net.initialize()
    assert net(mx.nd.zeros((2, 3, 33, 47))).shape == (2, 3)
    features = get_model(MODEL, features_only=True, **networks.options(0))
    features.initialize()
    assert [(each.shape[1], each.shape[2]) for each in features(mx.nd.zeros((1, 3, 64, 64)))] == \
        [*zip(networks.widths[0].tolist(), (16, 8, 4, 2))]


@pytest.mark.parametrize('radix', [None, 2])
def test_those_that_exist_are_those_that_can_be_built(radix):
    random = np.random.default_rng(1)
    arrays = [random.choice(values, (60, 1)).repeat(4, axis=1) for values in ((1,), (8, 24, 48), (1, 2, 4), (1, 2, 8))]
    networks = Networks(*arrays, radix=radix, stem=8)
    assert 0 < networks.exist.sum() < 60
    for index, exists in enumerate(networks.exist):
        if exists:
            get_model(MODEL, classes=2, **networks.options(index))
        else:
            with pytest.raises(InputError, match='divi'):
                get_model(MODEL, classes=2, **networks.options(index))


def test_depths_ratios_and_groups_are_distributed_as_the_paper_says():
    networks = drawn('A', count=1 << 14)
    total = networks.depths.size
    for values, shares in ((networks.depths, {v: np.log((v + 1) / v) / np.log(17) for v in range(1, 17)}),
                           (networks.ratios, dict.fromkeys((1, 2, 4), 1 / 3)),
                           (networks.groups, dict.fromkeys((1, 2, 4, 8, 16, 32), 1 / 6))):
        assert {*values.ravel()} == {*shares}
        for value, share in shares.items():
            assert abs((values == value).mean() - share) < 5 * np.sqrt(share / total), value
    for one, other in ((0, 1), (1, 3)):     # the stages know nothing of each other
        assert abs(np.corrcoef(networks.depths[:, one], networks.depths[:, other])[0, 1]) < 0.05


def test_widths_are_log_uniform_among_those_that_can_be_divided():
    networks = drawn('A', count=1 << 14)
    step = np.maximum(8, networks.ratios * networks.groups)
    assert (networks.widths % step == 0).all()
    assert (networks.widths.min(), networks.widths.max()) == (8, 1024)
    for each in (8, 32, 128):
        found, most = networks.widths[step == each] // each, 1024 // each
        for least in (1, 2, 5):
            share = np.log(min(2 * least, most + 1) / least) / np.log(most + 1)
            seen = ((least <= found) & (found < 2 * least)).mean()
            assert abs(seen - share) < 5 * np.sqrt(share / len(found)), (each, least)


@pytest.mark.parametrize('name, shared, ordered', [
    ('A', '', ''), ('B', 'r', ''), ('C', 'rg', ''), ('D', 'rg', 'w'), ('E', 'rg', 'wd'), ('RegNet', 'rg', 'w')])
def test_what_the_networks_of_a_space_share(name, shared, ordered):
    networks = drawn(name)
    for key, values in (('r', networks.ratios), ('g', networks.groups)):
        assert (values == values[:, :1]).all() == (key in shared)
    for key, values in (('w', networks.widths), ('d', networks.depths)):
        assert (np.diff(values, axis=1) >= 0).all() == (key in ordered)
    assert (networks.widths % 8 == 0).all()
    assert networks.exist.all()
    assert (networks.depths.min(), networks.depths.max() <= 16, networks.widths.max() <= 1024) == (1, True, True)


@pytest.mark.parametrize('name, ordered', [('D', ['widths']), ('E', ['widths', 'depths'])])
def test_an_ordered_space_is_a_part_of_another(name, ordered):
    """Each of its networks is as likely as in space C: they are those of C that are in order."""
    free, ours = drawn('C'), drawn(name)
    found = free.take(np.all([(np.diff(getattr(free, each)) >= 0).all(axis=1) for each in ordered], axis=0))
    assert len(found) > 20
    for each in Networks.PARAMETERS:
        assert (getattr(found, each) == getattr(ours, each)).all()


def test_log_uniform_of_no_values():
    assert log_uniform(np.random.default_rng(0), np.array([0, 1, 1])).tolist() == [0, 1, 1]


@pytest.mark.parametrize('name', SPACES)
def test_five_hundred_within_the_budget(name):
    networks = sample(SPACES[name], 500, 3, BUDGET)
    costs = networks.multiply_adds()
    assert len(networks) == 500
    assert BUDGET[0] <= costs.min() <= costs.max() <= BUDGET[1]
    fewer = sample(SPACES[name], 20, 3, BUDGET)
    for each in Networks.PARAMETERS:
        assert (getattr(fewer, each) == getattr(networks, each)[:20]).all()
    assert (sample(SPACES[name], 20, 4, BUDGET).widths != fewer.widths).any()


def test_a_budget_that_none_has(monkeypatch):
    monkeypatch.setattr('resnest.gluon.tasks.classification.design_space.spaces.MOST_BATCHES', 2)
    with pytest.raises(InputError, match='0 of 65536 networks of space A have 1 to 2 multiply-adds, not 5'):
        sample(SPACES['A'], 5, 0, (1, 2))
    monkeypatch.setattr('resnest.gluon.tasks.classification.design_space.spaces.WITHOUT', 1)
    with pytest.raises(InputError, match='0 of 32768 networks'):
        sample(SPACES['A'], 5, 0, (1, 2))
    with pytest.raises(InputError, match='--radix 64: divides no group width up to 32'):
        sample(SPACES['A'], 5, 0, BUDGET, Limits(radix=64))


def test_a_distribution_and_its_band():
    errors = np.random.default_rng(0).normal(40, 5, 200)
    values, shares = distribution(errors)
    assert all(share == np.mean(errors <= value) for value, share in zip(values, shares))
    low, high = band(errors, generator(18, 0, 0))
    assert ((low <= shares) & (shares <= high)).all()
    # The share of a resampling below a value is binomial.
    wanted = 2 * 1.96 * np.sqrt(shares * (1 - shares) / 200)
    assert np.abs((high - low) - wanted)[20:180].max() < 0.03
    assert band([7.0, 7.0], generator(18, 0, 0)).tolist() == [[1, 1], [1, 1]]


def test_where_the_best_networks_lie():
    random = np.random.default_rng(0)
    depth = random.integers(1, 17, 300)
    low, middle, high = best_range(np.abs(depth - 9) + random.normal(0, 0.5, 300), depth, random)
    assert 7 <= low <= middle <= high <= 11
    low, _, high = best_range(random.normal(0, 1, 300), depth, random)
    assert low <= 3 < 14 <= high        # tells nothing: nearly the whole range


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Makes a study of spaces A and B with three networks each; a stand-in trains, and only the first one draws."""
    drawing, left = study_module.draw_parameters, iter([True])
    monkeypatch.setattr(study_module, 'draw_parameters', lambda *args: next(left, None) and drawing(*args))
    (tmp_path / 'train.py').write_text(TRAIN)
    (tmp_path / 'out').mkdir()
    spaces = {name: sample(SPACES[name], 3, 0, (0, 10 ** 7), SMALL, 32, 10) for name in 'AB'}
    return lambda: Study(spaces, {'num_epochs': 1, 'warmup_epochs': 0}, {'seed': 0, 'size': 32, 'classes': 10})


def test_a_study_goes_on_and_is_shared(study, tmp_path):
    out, command = tmp_path / 'out', [sys.executable, tmp_path / 'train.py']
    first, said = study(), []
    assert first.train(out, command, said.append, rank=1, size=4) == 0
    assert (out / 'started').read_text().split() == ['b-0000', 'b-0002']
    assert study().train(out, command, said.append) == 0
    assert (out / 'started').read_text().split()[2:] == ['a-0000', 'a-0001', 'b-0001', 'a-0002']
    assert study().train(out, command, said.append) == 0
    assert len((out / 'started').read_text().split()) == 6

    found = read_json(out / 'design_space.json')
    for name, space in found['spaces'].items():
        errors = [each['error'] for each in space['networks']]
        assert errors == [50 - sum(each['depths']) for each in space['networks']]
        assert space['distribution']['error'] == sorted(errors)
        assert space['distribution']['share'] == pytest.approx([1 / 3, 2 / 3, 1])
        assert (space['least'], len(space['best']['widths'])) == (min(errors), 4)
        assert space['space']['shared'] == ([] if name == 'A' else ['ratios'])
    pytest.importorskip('matplotlib')
    for picture in ('distributions.png', 'parameters.png'):
        assert (out / picture).read_bytes().startswith(b'\x89PNG')


def test_a_study_ends_where_all_networks_would_be_refused(study, tmp_path):
    """Each of 500 was started, to be refused for data that are not there."""
    (tmp_path / 'train.py').write_text(TRAIN.split("(folder / 'summary.json')")[0] +
                                       "print('error: no data', file=sys.stderr)\nsys.exit(2)\n")
    with pytest.raises(InputError, match='^the first 3 networks were refused alike: no data$'):
        study().train(tmp_path / 'out', [sys.executable, tmp_path / 'train.py'], lambda text: None)
    assert (tmp_path / 'out/started').read_text().split() == ['a-0000', 'b-0000', 'a-0001']
    assert read_json(tmp_path / 'out/design_space.json')['spaces']['A']['networks'][1]['failure'].endswith('no data')


def test_a_study_reads_what_others_have_trained(study, tmp_path):
    out, command = tmp_path / 'out', [sys.executable, tmp_path / 'train.py']
    study().train(out, command, lambda text: None, rank=0, size=2)
    last = study()
    last.train(out, command, lambda text: None, rank=1, size=2)
    assert re.findall(r'\| (\w) \| 3 \| 3 \| 0 \|', last.table()) == ['A', 'B']


@pytest.mark.parametrize('field', ['model', 'model_options', 'resume_params'])
def test_the_spaces_have_the_networks(field):
    with pytest.raises(InputError, match=f'--{field.replace("_", "-")}: the space has the networks'):
        rows_of('A', drawn('A'), {field: 'x'})


def test_networks_are_drawn_without_data(tmp_path):
    result = script_here('gluon/design_space.py', 'A', 'RegNet', '--networks', 5, '--out', tmp_path / 'out')
    assert (result.returncode, [each.name for each in (tmp_path / 'out').iterdir()]) == (0, ['design_space.json'])
    found = read_json(tmp_path / 'out/design_space.json')
    assert {name: len(space['networks']) for name, space in found['spaces'].items()} == {'A': 5, 'RegNet': 5}
    assert found['settings']['budget'] == [*BUDGET]
    assert '| RegNet | 5 | 0 | 0 |' in result.stdout


@pytest.mark.parametrize('words, wanted', [
    (['F'], 'SPACE must be one of A, B'), (['A', 'A'], 'the space A is given twice'), ([], 'SPACE'),
    (['A', '--budget', 5, 4], '--budget: the least, 5, is more than the most, 4'),
    (['A', '--stem', 9], '--stem must be'), (['A', '--networks', 1], '--networks must be from 2'),
    (['A', '--budget', 'x', 4], '--budget must be a finite number'),
    (['A', '--', '--model', 'resnest50'], '--model: the space has the networks'),
    (['A', '--', '--config', 'x'], '--config and --print-config do not go with a design space'),
    (['A', '--launcher', 'a "b'], '--launcher a "b: No closing'),
    (['A', '--', '--input-size', 0], '--input-size must be'), (['A', '--', '--lr', -1], '--lr must be'),
    (['A', '--radix', 32, '--max-group', 8], '--radix 32: divides no group width'),
])
def test_wrong_commands(tmp_path, words, wanted):
    assert_refused(script_here('gluon/design_space.py', *words, cwd=tmp_path), wanted)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize('visible, gpu', [(None, '1'), ('4,6', '6'), ('5', '5')])
def test_a_rank_trains_its_networks_alone(tmp_path, monkeypatch, visible, gpu):
    """Of two ranks the second trains the second network, with nothing about the job left in the environment."""
    started = []
    monkeypatch.setattr(study_module, 'train_rows', lambda rows, only, out, command, *_: started.append(
        ([row.name for row in only], subprocess.run([*map(str, command[:command.index(sys.executable)]), 'env'],
                                                    capture_output=True, text=True).stdout.split())))
    for name, value in {'HOROVOD_RANK': 1, 'HOROVOD_SIZE': 2, 'HOROVOD_LOCAL_RANK': 1, 'HOROVOD_LOCAL_SIZE': 2,
                        'OMP_NUM_THREADS': 3, 'RESNEST_NUM_THREADS': 3}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    if visible:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    words = ['A', '--networks', 3, '--out', tmp_path]
    main = script_main('gluon/design_space.py')
    main([*map(str, words), '--', '--rec-train', 'x'])
    (names, environment), = started
    assert names == ['A 0001']
    assert {f'CUDA_VISIBLE_DEVICES={gpu}', 'OMP_NUM_THREADS=3'} <= {*environment}
    assert not [each for each in environment if each.startswith(('HOROVOD', 'RESNEST'))]
    with pytest.raises(InputError, match='--ranks and --launcher: horovodrun has started this command already'):
        main([*map(str, words), '--ranks', '2', '--', '--rec-train', 'x'])


@pytest.mark.slow
def test_a_small_space_is_trained(squares, tmp_path):
    words = ('gluon/design_space.py', 'B', '--networks', 2, '--budget', 0.1, 1, '--max-width', 32, '--max-depth', 1,
             '--max-group', 8, '--stem', 8, '--radix', 2, '--out', tmp_path / 'out', '--', '--rec-train', squares,
             '--input-size', 32, '--num-classes', 4, '--augment', 'none', '--batch-size', 16, '--lr', 0.05,
             '--num-epochs', 2, '--warmup-epochs', 0)
    result = script(*words, OMP_NUM_THREADS='1')
    assert result.returncode == 0, result.stderr
    for network in read_json(tmp_path / 'out/design_space.json')['spaces']['B']['networks']:
        folder = tmp_path / 'out' / network['name'].lower().replace(' ', '-')
        assert network['error'] == 100 - read_json(folder / 'summary.json')['top1']
        net = get_model(str(folder / 'best.params'))
        assert [len(getattr(net, f'layer{number}')) for number in range(1, 5)] == network['depths']
        assert complexity(net, 32)[1] == network['multiply_adds']
    assert 'row 1 of 2' not in script(*words, OMP_NUM_THREADS='1').stdout
