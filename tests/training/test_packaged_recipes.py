"""The recipes of the package, and what a command line and a recipe come to in the end."""
import shlex

import pytest
import yaml

from resnest.errors import InputError
from resnest.gluon import get_model
from resnest.gluon.tasks.classification import ClassificationConfig as Config
from resnest.gluon.training import recipe

from ..conftest import ROOT, script
from .test_options import FIELDS, parse

DOCUMENTED = ('--rec-train /data/train.rec --rec-val /data/val.rec --model resnest50 --lr 0.05 --num-epochs 270 '
              '--batch-size 128 --use-rec --dtype float32 --warmup-epochs 5 --last-gamma --no-wd --label-smoothing '
              '--mixup --save-dir params_resnest50 --log-interval 50 --eval-frequency 5 --auto_aug --input-size 224')


def test_the_documented_command_line():
    config = parse(*shlex.split(DOCUMENTED), '--rec-train-idx', 'train.idx', '--rec-val-idx', 'val.idx')
    assert config == Config(model='resnest50', rec_train='/data/train.rec', rec_val='/data/val.rec', lr=0.05,
                            warmup_epochs=5.0, last_gamma=True, label_smoothing=0.1, mixup=True,
                            save_dir='params_resnest50', eval_frequency=5, augment='autoaugment', input_size=224)
    derived = recipe.resolved(config, 64)['derived']
    assert derived['global_batch_size'] == 8192
    assert derived['learning_rate'] == pytest.approx(3.2)


def test_recipes_of_the_package_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = yaml.safe_load((ROOT / 'configs/resnest101.yaml').read_text())
    assert {**vars(parse('--config', 'resnest101')), **wanted} == vars(parse('--config', 'resnest101')) != vars(parse())
    (tmp_path / 'resnest200').mkdir()
    assert parse('--config', 'resnest200').model == 'resnest200'
    (tmp_path / 'resnest101').write_text('model: resnest26')        # a file that is there wins
    assert parse('--config', 'resnest101').model == 'resnest26'
    for name in ('resnet50', 'configs/resnest50.yaml', '~/resnest50.yml'):
        with pytest.raises(InputError, match=r"no such file, and not in the package; did you mean 'resnest50'\?.* "
                                             r'ablation, .* resnest269, resnest50, .*simple_pose_resnest50\)$'):
            parse('--config', name)


# Of section 5.1: crop while training and global batch on 64 GPUs.
@pytest.mark.parametrize('name, crop, batch', [('resnest50', 224, 8192), ('resnest101', 256, 4096),
                                               ('resnest200', 256, 2048), ('resnest269', 320, 2048)])
def test_recipes_are_the_papers(name, crop, batch):
    path = ROOT / f'configs/{name}.yaml'
    config = parse('--config', path)
    derived = recipe.resolved(config, 64)['derived']
    spec = get_model(name).spec
    assert (config.model, config.input_size or spec.crop_size, derived['global_batch_size']) == (name, crop, batch)
    assert derived['learning_rate'] == pytest.approx(0.1 * batch / 256)
    assert config == Config(model=name, batch_size=batch // 64, input_size=config.input_size,
                                 crop_ratio=config.crop_ratio, augment='autoaugment', mixup=True,
                                 label_smoothing=0.1, last_gamma=True, dropblock_prob=0.1)
    comment = [line for line in path.read_text().splitlines() if line.startswith('#')]
    assert f'--config configs/{name}.yaml' in comment[0]
    assert f'Published top-1: {spec.top1} %' in comment[3]


def test_print_config_shows_the_whole_recipe(squares, tmp_path):
    words = ('--config', ROOT / 'configs/resnest200.yaml', '--batch-size', 8, '--accumulate', 2)
    alone = script('gluon/train.py', *words, '--print-config')
    assert alone.returncode == 0, alone.stderr
    shown = yaml.safe_load(alone.stdout)
    assert shown.keys() == {*FIELDS, 'derived'}
    assert shown['derived'] == {'ranks': 1, 'images_per_rank': 16, 'global_batch_size': 16,
                                'learning_rate': 0.00625, 'min_learning_rate': 0.0, 'warmup_epochs': 5.0,
                                'weight_decay': 1e-4}
    with_data = script('gluon/train.py', *words, '--print-config', '--rec-train', squares, '--rec-val', squares,
                       '--save-dir', tmp_path / 'new')
    shown = yaml.safe_load(with_data.stdout)
    assert (shown['num_classes'], shown['input_size'], shown['model']) == (4, 256, 'resnest200')
    assert (shown['derived']['steps_per_epoch'], shown['derived']['steps']) == (96 // 16, 96 // 16 * 270)
    assert not (tmp_path / 'new').exists()
