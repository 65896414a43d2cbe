"""Options and YAML files: what a command line comes to, and what wrong ones say."""
import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import pytest
import yaml

from resnest.arguments import Parser
from resnest.errors import InputError
from resnest.gluon.tasks.classification import ClassificationConfig as Config
from resnest.gluon.training import add_options, from_options, options, recipe
from resnest.gluon.training.fields import fields_of, option

from ..conftest import ROOT, assert_refused, script_here
from .runs import writer

FIELDS = fields_of(Config)


def parse(*words):
    parser = Parser()
    add_options(parser, Config)
    return from_options(parser.parse_args([str(word) for word in words]), Config)


@pytest.fixture
def file(tmp_path):
    return writer(tmp_path / 'x.yaml')


def test_options_are_the_fields():
    config = parse('--model', 'resnest101', '--label-smoothing', '--last-gamma', '-j', 0, '--crop-size', 96)
    assert config == Config(model='resnest101', label_smoothing=0.1, last_gamma=True, num_workers=0, input_size=96)
    assert parse('--label-smoothing', 0.2).label_smoothing == 0.2
    assert parse() == Config()


def test_the_file_first_then_the_options(file):
    path = file('model: resnest101\nlr: 1e-2\nwd: 1\nmixup: true\nno_cuda: true\naugment: none\ninput_size: null\n')
    assert parse('--config', path) == Config(model='resnest101', lr=0.01, wd=1.0, mixup=True, no_cuda=True,
                                                  augment='none')
    config = parse('--config', path, '--model', 'resnest50', '--no-mixup', '--cuda', '--auto_aug', '--lr', 0.5)
    assert config == Config(model='resnest50', lr=0.5, wd=1.0, augment='autoaugment', cuda=True)
    assert parse('--config', file('')) == Config()


def test_options_of_the_network(file):
    wanted = {'radix': 0, 'blocks': [1, 2, 1, 1], 'avd_first': True, 'final_drop': 0.5}
    path = file('model_options: {radix: 0, blocks: [1, 2, 1, 1], avd_first: true, final_drop: 0.5}')
    assert parse('--config', path).model_options == wanted
    config = parse('--model-options', 'radix=0', 'blocks=[1, 2, 1, 1]', 'avd_first=true', 'final_drop=0.5')
    assert config.model_options == wanted
    assert parse('--config', file(recipe.to_yaml(recipe.resolved(config)))) == config
    assert recipe.differences(parse(), recipe.resolved(config)) == [f'--model-options None (was {wanted})']


@dataclass
class WithLists(Config):
    """Lists of numbers: a pair, and any number of whole ones."""

    pair: list = option((0.5, 1.0), 'two', items=float, length=2, above=0, most=2)
    places: Optional[list] = option(None, 'some', items=int, least=3)


def test_lists_of_numbers(file):
    def parsed(*words):
        parser = Parser()
        add_options(parser, WithLists)
        assert 'two (default: 0.5 1)' in ' '.join(parser.format_help().split())
        return from_options(parser.parse_args([str(word) for word in words]), WithLists)

    assert (parsed().pair, parsed().places) == ([0.5, 1.0], None)
    config = parsed('--pair', '1', '2e-1', '--places', '3', '40')
    assert (config.pair, config.places) == ([1.0, 0.2], [3, 40])
    path = file(recipe.to_yaml(recipe.resolved(config)))
    assert parsed('--config', path) == config == WithLists(pair=(1, 0.2), places=(3, 40))
    assert parsed('--config', path, '--pair', '1', '2').pair == [1, 2]


@pytest.mark.parametrize('text, wanted', [
    ('pair: 3', r'pair must be a list of 2 numbers, got 3'),
    ('pair: [1, 1, 1]', r'pair must be a list of 2 numbers, got \[1.0, 1.0, 1.0'),
    ('pair: null', 'pair must be a list of 2 numbers, got None'),
    ('pair: [1, true]', 'pair must be a number, got True'),
    ('pair: [1, a]', "pair must be a number, got 'a'"),
    ('pair: [1, 3]', 'pair must be at most 2, got 3.0'),
    ('pair: [0, 1]', 'pair must be above 0, got 0.0'),
    ('places: x', "places must be a list of numbers, got 'x'"),
    ('places: [3, 4.5]', 'places must be a whole number, got 4.5'),
    ('places: [3, 2]', 'places must be at least 3, got 2')])
def test_wrong_lists_of_numbers(file, text, wanted):
    with pytest.raises(InputError, match=r'x\.yaml: ' + wanted):
        options.check_values(yaml.safe_load(text), 'x.yaml', WithLists)


@pytest.mark.parametrize('word', ['radix', '=3', 'blocks=[1', 'radix=1e400', 'radix=!!set {a}', 'radix=*a'])
def test_options_of_the_network_are_pairs(word):
    with pytest.raises(InputError, match=re.escape(f'--model-options must be of the form key=value, got {word!r}')):
        parse('--model-options', word)


@pytest.mark.parametrize('name', [name for name, field in FIELDS.items() if field.type is bool])
def test_each_switch_can_be_turned_off(file, name):
    off = {'no_cuda': '--cuda', 'cuda': '--no-cuda'}.get(name, f"--no-{name.replace('_', '-')}")
    on = file(f'{name}: true\n' + 'resume: auto\n' * (name == 'eval_only'))
    assert getattr(parse('--config', on), name) is True
    assert getattr(parse('--config', on, off), name) is False
    assert getattr(parse('--resume', 'auto', off, '--' + name.replace('_', '-')), name) is True


@pytest.mark.parametrize('text, wanted', [
    ('batchsize: 3', "no option 'batchsize'; did you mean 'batch_size'"),
    ('label-smooth: 0.1', "no option 'label-smooth'; did you mean 'label_smoothing'"),
    ('3: 4', "no option '3'"),
    ('batch_size: "3"', "batch_size must be a whole number, got '3'"),
    ('batch_size: true', 'batch_size must be a whole number, got True'),
    ('batch_size: 2.5', 'batch_size must be a whole number, got 2.5'),
    ('batch_size: null', 'batch_size must be a whole number, got None'),
    ('lr: fast', "lr must be a number, got 'fast'"),
    ('model_options: 3', 'model_options must be a mapping: {radix: 0}, got 3'),
    ('lr: true', 'lr must be a number, got True'),
    ('lr: [1]', r'lr must be a number, got \[1\]'),
    ('lr: .nan', "lr must be a number, got '.nan'"),
    ('mixup: 1', 'mixup must be true or false, got 1'),
    ('model: 50', 'model must be a text, got 50'),
    ('num_epochs: 0', 'num_epochs must be at least 1'),
    ('mixup_mode: each', 'mixup_mode must be one of sample, batch, got each'),
    ('freeze: stem', r"freeze must be a list: \[a, b\], got 'stem'"),
    ('freeze: [stem, layr2]', "freeze has no choice 'layr2'; did you mean 'layer2'"),
    ('freeze: [[stem]]', 'freeze has no choice'),
    ('model: [', ', line 1: not YAML'),
    ('a: b: c', ', line 1: not YAML: mapping values are not allowed'),
    ('- model', 'must hold lines of the form'),
    ('\0', 'not YAML'),
])
def test_wrong_files_name_file_and_key(file, text, wanted):
    with pytest.raises(InputError, match=r'x\.yaml.*' + wanted):
        parse('--config', file(text))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r'no\.yaml: no such file'):
        parse('--config', tmp_path / 'no.yaml')
    with pytest.raises(InputError, match='Is a directory'):
        parse('--config', tmp_path)


@pytest.mark.parametrize('words, wanted', [
    (['--augment', 'autoagument'], "--augment must be one of standard, autoaugment, randaugment, none, got "
                                   "autoagument; did you mean 'autoaugment'?"),
    (['--mixup-mode', 'Batch'], "got Batch; did you mean 'batch'?"),
    (['--dtype', 'x'], 'float32, float16, bfloat16, got x'),
    (['--freeze', 'layr1'], "'layr1'; did you mean 'layer1'?"), (['--batchsize', '3'], 'did you mean --batch-size?'),
    (['--xyzzy', '3'], 'there is no option --xyzzy; --help lists all')])
def test_mistyped_words_are_told_the_nearest(words, wanted):
    with pytest.raises(InputError) as error:
        parse(*words)
    assert wanted in str(error.value)


@pytest.mark.parametrize('name, value', [
    ('batch_size', 0), ('num_epochs', 0), ('input_size', 0), ('lr', -1.0), ('lr', math.nan), ('lr', math.inf),
    ('label_smoothing', 1.0), ('dropblock_prob', -0.1), ('num_workers', -1), ('warmup_epochs', 271.0),
    ('crop_ratio', 0.0), ('crop_ratio', 1.1), ('mixup_alpha', 0.0), ('mixup_mode', 'each'), ('mixup_off_epoch', 271),
    ('accumulate', 0), ('ema_decay', 1.0), ('clip_gradient', 0.0), ('dtype', 'int8'), ('keep', 0),
    ('hflip', 1.1), ('scale', [0.0, 1.0]), ('ratio', [1.0]), ('color_jitter', -0.1), ('std', [0.1, 0.1, 0.0]),
    ('mean', [0.5]), ('interpolation', 'lanczos'), ('random_erasing', 1.1), ('drop_path', 1.0), ('cutmix_alpha', 0.0),
    ('randaugment_count', 0), ('randaugment_magnitude', 31), ('augment', 'auto'), ('cycle_ms', 0.0),
    ('skip_nonfinite', -1)])
def test_values_out_of_range_name_the_option(name, value):
    with pytest.raises(InputError, match='--' + name.replace('_', '-')):
        Config(**{name: value})


@pytest.mark.parametrize('values, wanted', [
    ({'deterministic': True, 'fusion_mb': 64.0}, '--deterministic .* --fusion-mb'),
    ({'dtype': 'float16', 'no_cuda': True}, '--dtype float16 needs a GPU; leave out --no-cuda'),
    ({'cuda': True, 'no_cuda': True}, '--cuda wants a GPU, --no-cuda none'),
    ({'eval_only': True}, '--eval-only evaluates what --resume, --resume-params or --pretrained name'),
    ({'milestones': [3]}, '--milestones does nothing without --lr-schedule step; add that'),
    ({'lr_decay': 0.5, 'lr_schedule': 'poly'}, '--lr-decay does nothing without --lr-schedule step'),
    ({'poly_power': 2.0}, '--poly-power does nothing without --lr-schedule poly'),
    ({'min_lr': 1e-5, 'lr_schedule': 'constant'}, '--min-lr does nothing without --lr-schedule cosine or poly'),
    ({'min_lr': 0.06}, '--min-lr 0.06 is more than the learning rate, 0.05'),
    ({'lr_schedule': 'step'}, '--lr-schedule step needs --milestones'),
    *(({'lr_schedule': 'step', 'milestones': wrong, 'num_epochs': 90}, 'rising epochs before the last of 90')
      for wrong in ([], [30, 30], [60, 30], [30, 90])),
    ({'optimizer': 'adam', 'momentum': 0.8}, '--momentum does nothing without --optimizer sgd'),
    ({'mixup_off_epoch': 4, 'num_epochs': 3}, '--mixup-off-epoch 4 is more than --num-epochs 3'),
    ({'scale': (0.5, 0.2)}, '--scale 0.5 0.2: the smaller number comes first'),
    ({'mixup_alpha': 1.0}, '--mixup-alpha does nothing without --mixup; add that'),
    ({'cutmix_alpha': 0.2, 'mixup': True}, '--cutmix-alpha does nothing without --cutmix; add that'),
    ({'randaugment_magnitude': 12}, '--randaugment-magnitude does nothing without --augment randaugment;'),
    ({'hflip': 0.0, 'augment': 'none'}, '--hflip does nothing without an --augment that is not none; ')])
def test_contradictions(values, wanted):
    with pytest.raises(InputError, match=wanted):
        Config(**values)


@pytest.mark.parametrize('text, words, wanted', [
    ('lr_schedule: step\nmilestones: [3]\nlr_decay: 0.5', '--lr-schedule cosine', {}),
    ('color_jitter: 0.2\nscale: [0.5, 1]', '--augment none', {'augment': 'none'}),
    ('optimizer: sgd\nmomentum: 0.8', '--optimizer adamw', {'optimizer': 'adamw'}),
    ('mixup: true\nmixup_alpha: 0.4', '--no-mixup', {}),
    ('data_dir: photos\nval_fraction: 0.2', '--rec-train a', {'rec_train': 'a'}),
    ('rec_train: a\nrec_val: b', '--data-dir photos', {'data_dir': 'photos'})])
def test_options_take_away_what_was_of_use_in_the_file(file, text, words, wanted):
    """Not what stands on the command line besides, nor what never was of use."""
    path = file(text)
    assert parse('--config', path, *words.split()) == Config(**wanted)
    parse('--config', path)
    with pytest.raises(InputError, match='^--poly-power does nothing without'):
        parse('--config', path, *words.split(), '--poly-power', 2)
    with pytest.raises(InputError, match='^--poly-power does nothing without'):
        parse('--config', file(f'{text}\npoly_power: 2.0'), *words.split())


def test_options_that_the_documentation_names_exist():
    text = (ROOT / 'docs/training.md').read_text()
    parser = argparse.ArgumentParser()
    add_options(parser, Config)
    others = {'--network-interfaces', '--hostfile', '--logdir', '--resize',
              '--only', '--out', '--ranks', '--workers', '--launcher'}      # of other commands
    assert set(re.findall(r'--[a-z][\w-]+', text)) - others <= set(parser._option_string_actions)
    for name in re.findall(r'configs/(\w+\.yaml)', text):
        assert (ROOT / 'configs' / name).is_file()


@pytest.mark.parametrize('words, wanted', [
    (('--num-epoch', 3), 'there is no option --num-epoch; did you mean --num-epochs?'),     # nor any abbreviation
    (('--lr-', 3), 'there is no option --lr-; did you mean --lr?'),
    (('--mixup=yes',), "ignored explicit argument 'yes'"),
    (('--batch-size', '1_0'), '--batch-size must be a whole number, got 1_0'),
    (('--batch-size', '9' * 5000), '--batch-size must be a whole number, got 999'),
    (('--batch-size', 2 ** 31), '--batch-size must be at most 2147483647'),
    (('--seed=-1',), '--seed must be at least 0'),
    (('--lr', 'nan'), '--lr must be a finite number'), (('--lr', '1e999'), '--lr must be a finite number'),
    (('--input-size', 10 ** 6), '--input-size must be at most 16384'),
    (('--crop-ratio', 2), '--crop-ratio must be at most 1'),
    (('--num-workers', 10 ** 6), '--num-workers must be at most 1024'),
    (('--fusion-mb', 1e300), '--fusion-mb must be at most'), (('--save-dir', ''), '--save-dir must be a text'),
    (('--save-dir', 'a\nb'), r'--save-dir must be a text without control characters, got a\nb'),
    (('--save-dir', 'a\0b'), r'got a\x00b'), (('--save-dir', '\udcff'), r'got \udcff'),
    (('--rec-train', '~nobody-here/x'), '--rec-train must be a path in the folder of a user that there is'),
    (('--config', ''), '--config must be a path'), (('--config', '/dev/zero'), '/dev/zero: no plain file'),
    (('--freeze', 'stam'), "--freeze has no choice 'stam'; did you mean 'stem'?"),
    (('--model-options', 'radix=2020-01-01'), "radix of a network is a whole number, got '2020-01-01'"),
    (('--dtype', 'x\ny'), r"--dtype must be one of float32, float16, bfloat16, got x\ny"),
    (('positional',), 'unrecognized arguments')])
def test_command_lines_are_refused_in_one_line(tmp_path, words, wanted):
    result = script_here('gluon/train.py', '--print-config', *words, cwd=tmp_path)
    assert_refused(result, wanted)
    assert len(result.stderr.splitlines()) == 1
    assert len(result.stderr) < 400
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('text', [
    'rec_train: "a\\nb"', 'rec_train: "\\ud800"', 'num_epochs: 1:30', 'num_epochs: 2020-01-01', 'lr: 1e400',
    'num_epochs: 99999999999999999999', 'num_epochs: ' + '9' * 9999, 'model: ' + 'x' * 9999, 'x' * 9999 + ': 1',
    'model_options: ' + '[' * 2000, 'model_options: &a {b: *a}', 'model: !!binary aGk=', '? [1]\n: 2', 'lr: 1\nlr: 2',
    'freeze: [{a: b}]', 'model: "x\\ey"', 'lr: 1\x07', '\x85model: x', 'resume: ""'], ids=lambda text: text[:20])
def test_files_are_refused_in_one_line(file, text):
    result = script_here('gluon/train.py', '--print-config', '--config', file(text))
    assert_refused(result)
    assert len(result.stderr.splitlines()) == 1
    assert len(result.stderr) < 600


@pytest.mark.parametrize('values, wanted', [
    ({'lr': 'fast'}, "--lr must be a number, got 'fast'"), ({'batch_size': 2.0}, '--batch-size must be a whole number'),
    ({'batch_size': None}, '--batch-size must be a whole number, got None'), ({'mixup': 1}, '--mixup must be true or'),
    ({'model': 5}, '--model must be a text, got 5'), ({'model_options': [1]}, '--model-options must be a mapping'),
    ({'lr': 10 ** 400}, '--lr must be a number')])
def test_python_gets_the_same_words(values, wanted):
    with pytest.raises(InputError, match=wanted):
        Config(**values)


def test_values_that_python_may_give():
    config = Config(lr=1, save_dir=Path('a/b'), rec_train='~/x', freeze=('stem',), pretrained=True)
    assert (config.lr, config.save_dir, config.rec_train, config.freeze) == (
        1.0, 'a/b', str(Path.home() / 'x'), ['stem'])
    assert type(config.lr) is float


def test_a_wrong_file_ends_the_command_in_one_line(file):
    assert_refused(script_here('gluon/train.py', '--config', file('modle: resnest50')), 'x.yaml', "'modle'", "'model'")
