"""What follows from a recipe: numbers, warnings, contradictions with a checkpoint."""
import json

import mxnet as mx
import pytest
import yaml

from resnest.errors import InputError
from resnest.gluon import distributed
from resnest.gluon.tasks.classification import ClassificationConfig as Config
from resnest.gluon.training.fields import fields_of
from resnest.gluon.training.options import check_values
from resnest.gluon.training.recipe import (
    check_batch,
    check_device,
    check_warmup,
    differences,
    environment,
    resolved,
    to_yaml,
)

FIELDS = fields_of(Config)


def test_learning_rate_is_scaled_linearly():
    """64 ranks with 128 images each, or one that accumulates 64 batches, with or without the documented --lr."""
    for lr in (None, 0.05):
        for accumulate, ranks in ((1, 64), (64, 1), (8, 8)):
            derived = resolved(Config(lr=lr, accumulate=accumulate), ranks)['derived']
            assert derived['learning_rate'] == pytest.approx(0.1 * 8192 / 256)
            assert derived['global_batch_size'] == 8192
            assert derived['images_per_rank'] * ranks == 8192


def test_steps():
    derived = resolved(Config(num_epochs=8), 2, steps=100)['derived']
    assert (derived['steps_per_epoch'], derived['steps'], derived['warmup_steps']) == (100, 800, 500)


def test_the_printed_recipe_gives_the_same_recipe():
    config = Config(lr=1e-5, mixup=True, resume='auto', fusion_mb=0.5, pretrained=True, freeze=['stem'])
    text = to_yaml(resolved(config, 4, 10))
    assert Config(**check_values(yaml.safe_load(text), 'x.yaml', Config)) == config
    assert list(yaml.safe_load(text)) == [*FIELDS, 'derived']


@pytest.mark.parametrize('epochs, off, wanted', [(4, 0, [1, 1, 1, 1]), (4, 3, [1, 0, 0, 0]), (2, 2, [0, 0])])
def test_epochs_with_mixup(epochs, off, wanted):
    config = Config(num_epochs=epochs, mixup=True, mixup_off_epoch=off)
    assert [config.mixes(epoch) for epoch in range(epochs)] == wanted
    assert not Config().mixes(0)


# Another value of each field, within its limits.
OTHER = {'model': 'resnest14', 'augment': 'none', 'mixup_mode': 'batch', 'sharding': 'local', 'dtype': 'float16',
         'num_workers': 3, 'workers_kind': 'thread',
         'label_smoothing': 0.3, 'dropblock_prob': 0.3, 'ema_decay': 0.3, 'momentum': 0.3, 'crop_ratio': 0.3,
         'num_classes': 5, 'input_size': 96, 'lr': 0.3, 'warmup_epochs': 2.0, 'clip_gradient': 2.0, 'fusion_mb': 3.0,
         'cycle_ms': 2.0, 'model_options': {'radix': 1}, 'rec_train': 'a', 'rec_val': 'a', 'save_dir': 'a',
         'data_dir': 'a', 'val_fraction': 0.3, 'resume': 'a', 'resume_params': 'a', 'freeze': ['stem'],
         'backbone_lr_factor': 0.3, 'hflip': 0.3, 'scale': [0.3, 0.4], 'ratio': [1.0, 1.0], 'color_jitter': 0.3,
         'random_erasing': 0.3, 'interpolation': 'bicubic', 'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5],
         'drop_path': 0.3, 'best': 'top5',
         'optimizer': 'adam', 'lr_schedule': 'constant', 'min_lr': 0.02, 'milestones': [3],
         'num_steps': 9, 'milestone_steps': [3], 'warmup_steps': 3, 'warmup_factor': 0.3,
         'lr_decay': 0.3, 'poly_power': 0.3, 'wd': 0.3, 'time_limit': 3.0}
FREE = {'rec_train', 'rec_val', 'data_dir', 'save_dir', 'resume', 'resume_params', 'save_frequency', 'save_steps',
        'keep', 'eval_frequency', 'log_interval', 'num_workers', 'workers_kind', 'no_cuda', 'skip_bad',
        'skip_nonfinite',
        'deterministic', 'fusion_mb', 'cycle_ms', 'cuda', 'eval_only', 'time_limit', 'patience'}
KNOWN = {'wd': 1e-4, 'model': 'resnest50', 'num_classes': 10, 'input_size': 224, 'crop_ratio': 0.875,
         'interpolation': 'bilinear', 'mean': [0.1, 0.2, 0.3], 'std': [0.1, 0.2, 0.3], 'resume': 'b'}
# What other options are of use with.
STEP = {'lr_schedule': 'step', 'milestones': [30]}
WITH = {'optimizer': {'lr': 0.1}, 'milestones': STEP, 'lr_decay': STEP,
        'milestone_steps': {'lr_schedule': 'step', 'milestone_steps': [30]}, 'poly_power': {'lr_schedule': 'poly'},
        'mixup_alpha': {'mixup': True}, 'cutmix_alpha': {'cutmix': True},
        **dict.fromkeys(('randaugment_count', 'randaugment_magnitude'), {'augment': 'randaugment'})}


@pytest.mark.parametrize('name', FIELDS)
def test_each_option_contradicts_or_is_free(name):
    known = {**KNOWN, **WITH.get(name, {})}
    stored = json.loads(json.dumps(resolved(Config(**known), 2)))      # as a checkpoint keeps it
    assert differences(Config(**known), stored, 2) == []
    default = FIELDS[name].default
    value = OTHER[name] if name in OTHER else not default if isinstance(default, bool) else default + 1
    found = differences(Config(**{**known, name: value}), stored, 2)
    if name in FREE:
        assert found == []
    elif name in ('batch_size', 'accumulate'):
        assert [text.split()[0] for text in found] == ['--batch-size:', '--lr:']
    else:
        assert [text.split()[0].strip(':') for text in found] == ['--' + name.replace('_', '-')]


def test_the_share_of_a_rank_may_change():
    stored = resolved(Config(batch_size=32, lr=0.1), 4, 100)
    assert differences(Config(batch_size=64, lr=0.2), stored, 2, 100) == []
    assert differences(Config(batch_size=32, lr=0.1, accumulate=4), stored, 1, 100) == []
    assert differences(Config(batch_size=32, lr=0.1), stored, 2, 200) == []     # the same command on fewer
    assert differences(Config(batch_size=32, lr=0.2), stored, 2) == [
        '--batch-size: global batch size 64 (was 128)']
    assert differences(Config(batch_size=64, lr=0.1), stored, 4) == [
        '--batch-size: global batch size 256 (was 128)']
    assert differences(Config(batch_size=32, lr=0.1), stored, 4, 99) == [
        '--rec-train: steps per epoch 99 (was 100)']


def test_weight_decay_is_compared_by_what_it_comes_to():
    """Given in one of the two only, and with the default of the optimizer; earlier versions did not tell it."""
    for optimizer, decay in (('sgd', 1e-4), ('adamw', 0.05)):
        own, other = Config(optimizer=optimizer), Config(optimizer=optimizer, wd=0.5)
        assert differences(Config(optimizer=optimizer, wd=decay), resolved(own)) == []
        assert differences(other, resolved(own)) == [f'--wd: weight decay 0.5 (was {decay:g})']
        stored = resolved(other)
        del stored['derived']['weight_decay']
        for before in (resolved(other), stored):
            assert differences(own, before) == [f'--wd: weight decay {decay:g} (was 0.5)']


def test_recipes_of_earlier_versions():
    """Fields that were not there had their defaults; fields that are gone do not matter."""
    assert differences(Config(), {'model': 'resnest50', 'auto_aug': False}) == []
    assert differences(Config(seed=1, mixup=True), {'seed': 0}) == ['--seed 1 (was 0)', '--mixup True (was False)']
    assert differences(Config(), {'mixup_alpha': 0.4, 'optimizer': 'sgd', 'poly_power': 3.0}) == []    # of no use then
    with pytest.raises(InputError, match='mixup_alpha must be a number'):
        differences(Config(), {'mixup_alpha': '0.4'})


@pytest.mark.parametrize('stored, wanted', [
    ([], 'holds no recipe'), ({'lr': 'x'}, "lr must be a number, got 'x'"), ({'lr': -1.0}, 'lr must be at least 0'),
    ({'derived': [5]}, 'derived'), ({'derived': {}, 'num_epochs': True}, 'num_epochs must be a whole number'),
    ({'derived': {'global_batch_size': 2.5}}, 'derived'),
    ({'derived': {'global_batch_size': 64, 'warmup_epochs': float('nan')}}, 'derived')])
def test_recipes_that_are_none(stored, wanted):
    with pytest.raises(InputError, match=f'^x.npz: .*{wanted}'):
        differences(Config(), stored, where='x.npz')


def test_small_batches():
    with pytest.raises(InputError, match='--batch-size 1 cannot be trained'):
        check_batch(Config(batch_size=1, accumulate=64))
    assert '--batch-size 15' in check_batch(Config(batch_size=15))
    assert check_batch(Config(batch_size=16)) is None


@pytest.mark.parametrize('epochs, warmup, wanted', [(3, None, 3), (5, None, 5), (6, None, None), (3, 2.5, None)])
def test_a_warmup_that_fills_the_run(epochs, warmup, wanted):
    told = check_warmup(Config(num_epochs=epochs, warmup_epochs=warmup))
    assert told == (wanted and f'the warm-up of {wanted} epochs fills the run: the learning rate only rises; use fewer '
                    '--warmup-epochs, or more --num-epochs')


def test_small_batches_of_many_ranks(monkeypatch):
    with pytest.raises(InputError, match='--batch-size 1 cannot be trained'):
        check_batch(Config(batch_size=1, sync_bn=True))
    monkeypatch.setattr(distributed.current(), 'size', 8)
    assert '--sync-bn' in check_batch(Config(batch_size=2))
    assert '--batch-size 1:' in check_batch(Config(batch_size=1, sync_bn=True))
    assert check_batch(Config(batch_size=2, sync_bn=True)) is None


def test_half_precision_needs_a_gpu():
    check_device(Config(), mx.cpu())
    check_device(Config(dtype='float16'), mx.gpu(0))
    with pytest.raises(InputError, match='--dtype float16 needs a GPU'):
        check_device(Config(dtype='float16'), mx.cpu())


@pytest.mark.parametrize('values, wanted', [
    ({}, {}), ({'deterministic': True}, {'HOROVOD_FUSION_THRESHOLD': '0', 'MXNET_ENFORCE_DETERMINISM': '1',
                                        'MXNET_CUDNN_AUTOTUNE_DEFAULT': '0'}),
    ({'fusion_mb': 0.0}, {'HOROVOD_FUSION_THRESHOLD': '0'}),
    ({'fusion_mb': 128.0, 'cycle_ms': 2.5}, {'HOROVOD_FUSION_THRESHOLD': '134217728', 'HOROVOD_CYCLE_TIME': '2.5'}),
    ({'sync_bn': True}, {'HOROVOD_CYCLE_TIME': '1'}),
    ({'sync_bn': True, 'cycle_ms': 2.5}, {'HOROVOD_CYCLE_TIME': '2.5'})])
def test_settings_of_the_environment(values, wanted, monkeypatch):
    monkeypatch.delenv('HOROVOD_CYCLE_TIME', raising=False)
    assert environment(Config(**values)) == wanted
    if 'cycle_ms' not in values:
        monkeypatch.setenv('HOROVOD_CYCLE_TIME', '7')       # whoever starts the job has the last word
        assert 'HOROVOD_CYCLE_TIME' not in environment(Config(**values))
