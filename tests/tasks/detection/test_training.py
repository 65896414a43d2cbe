"""The command that trains detectors as a user runs it, on scenes of digits: whole runs, and what bad input says."""
import json
import shutil
import sys

import numpy as np
import pytest

from resnest.errors import EXIT_AGAIN
from resnest.gluon import get_model
from resnest.gluon.models.weights.description import read_description
from resnest.gluon.tasks.detection import DetectionConfig
from resnest.gluon.tasks.detection.learning import renewing
from resnest.gluon.training.recipe import resolved
from resnest.gluon.training.run import engine
from resnest.gluon.training.run.interrupt import StopRequest

from ...conftest import ROOT, assert_refused, command, horovodrun, needs_horovod, read_json
from ...training.runs import assert_same_end, go_on_after_a_kill, log
from .little_runs import RECIPE, little_scenes, run_train

LOSSES = ['rpn_class', 'rpn_box', 'class', 'box', 'mask']
SAVING = '--save-steps', 1, '--keep', 9, '--precise-bn', 1, '--clip-gradient', 3


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return little_scenes(tmp_path_factory.mktemp('few') / 'scenes')


@pytest.fixture(scope='module')
def trained(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    result = run_train(scenes, folder, *SAVING)
    assert result.returncode == 0, result.stderr
    return folder


def test_training_writes_everything(trained):
    assert {path.name for path in trained.iterdir()} >= {'best.json', 'best.params', 'config.yaml', 'curves.png',
                                                         'log.jsonl', 'summary.json', 'tensorboard'}
    rows = log(trained)
    assert [row['epoch'] for row in rows] == [1, 2]
    assert rows[0].keys() >= {f'loss_{name}' for name in LOSSES} | {'box_ap', 'mask_ap'}
    for row in rows:
        assert row['loss'] == pytest.approx(sum(row[f'loss_{name}'] for name in LOSSES), rel=1e-6)
    assert rows[1]['loss'] < rows[0]['loss']


def test_the_weights_tell_all_that_is_needed(trained):
    found = read_description(trained / 'best.params')
    assert (found.task, found.names, found.own['category_ids']) == ('detection', [*'0123456789'], [*range(1, 11)])
    net = get_model(str(trained / 'best.params'))
    assert (net.spec.base, net.spec.classes, net.spec.channels, net.spec.short_side) == ('resnest14', 10, 16, 64)


def test_killed_and_resumed_to_the_same_bytes(trained, scenes, tmp_path):
    """From a checkpoint in the middle of the first epoch."""
    shutil.copy(trained / 'checkpoint-0000-000001.npz', tmp_path)
    result = run_train(scenes, tmp_path, *SAVING, '--resume', 'auto')
    assert result.returncode == 0, result.stderr
    assert 'going on from' in result.stdout
    assert_same_end(tmp_path, trained)


def test_other_classes_by_steps_with_frozen_stages(trained, scenes, tmp_path):
    """Two classes instead of ten; three steps are one and a half epochs."""
    two = shutil.copytree(scenes, tmp_path / 'two')
    for path in (two / 'annotations').glob('instances*'):
        found = read_json(path)
        for each in found['annotations']:
            each['category_id'] = 1 + each['category_id'] % 2
        found['categories'] = [{'id': 1, 'name': 'even'}, {'id': 2, 'name': 'odd'}]
        path.write_text(json.dumps(found))
    result = run_train(two, tmp_path / 'run', '--resume-params', trained / 'best.params', '--freeze', 'stem', 'layer1',
                       '--num-steps', 3, '--milestone-steps', 2, '--warmup-steps', 1)
    assert result.returncode == 0, result.stderr
    assert 'their last layers are for other classes' in result.stdout
    assert [row['lr'] for row in log(tmp_path / 'run')] == pytest.approx([0.005, 0.0005])
    before, after = (get_model(str(path / 'best.params')) for path in (trained, tmp_path / 'run'))
    assert after.spec.classes == 2
    for name, same in (('conv1.0.weight', True), ('layer1.0.bn1.running_mean', True), ('layer3.0.conv1.weight', False)):
        values = [net.backbone._collect_params_with_prefix()[name].data().asnumpy() for net in (before, after)]
        assert (values[0] == values[1]).all() == same, name


def test_a_classifier_to_start_from(scenes, tmp_path):
    classifier = get_model('resnest14', bottleneck_width=8, stem_width=8, classes=7)
    classifier.initialize()
    classifier.save_parameters(str(tmp_path / 'classifier.params'))
    result = run_train(scenes, tmp_path / 'run', '--resume-params', tmp_path / 'classifier.params', '--freeze', 'stem',
                       '--num-epochs', 1)
    assert result.returncode == 0, result.stderr
    assert 'they are those of the backbone, the rest is new' in result.stdout
    found = get_model(str(tmp_path / 'run/best.params')).backbone.conv1[0].weight
    np.testing.assert_array_equal(found.data().asnumpy(), classifier.conv1[0].weight.data().asnumpy())


@pytest.mark.parametrize('detector', [True, False])
def test_a_start_that_is_not_finite_is_told_before_training(detector, trained, scenes, tmp_path):
    path = tmp_path / 'nan.params'
    net = get_model(str(trained / 'best.params'))
    net = net if detector else net.backbone
    weight = (net.backbone if detector else net).layer3[0].conv1.weight
    weight.set_data(weight.data() * np.nan)
    net.save_parameters(str(path))
    assert_refused(run_train(scenes, tmp_path / 'run', '--resume-params', path), path,
                   'backbone.layer3.0.conv1.weight is not finite')
    assert not (tmp_path / 'run').exists()


def test_the_rate_falls_after_two_thirds_and_eight_ninths_of_the_run():
    derived = resolved(DetectionConfig(num_epochs=9), 8, 100)
    assert derived['milestone_steps'] == [600, 800]
    assert (derived['derived']['learning_rate'], derived['derived']['warmup_steps']) == (0.02, 90)


@pytest.mark.parametrize('words, wanted', [
    (['--batch-size', 1], ['--batch-size 1']),
    (['--batch-size', 100], ['8 training records']),
    (['--pad-multiple', 48], ['--pad-multiple must be a multiple of 32']),
    (['--images', 'x'], ['--data-dir', '--images']),
    (['--model', 'resnest50'], ['resnest50']),
    (['--milestone-steps', 9, 3], ['rising steps']),
    (['--best', 'pq'], ['--best must be one of box_ap, mask_ap']),
    (['--pretrained-backbone', '--pretrained'], ['--pretrained-backbone']),
], ids=lambda value: None if isinstance(value[0], str) and ' ' in value[0] else str(value[0]))
def test_recipes_that_cannot_be(words, wanted, scenes, tmp_path):
    assert_refused(run_train(scenes, tmp_path / 'run', *words), *wanted)
    assert not (tmp_path / 'run').exists()


def test_what_the_evaluation_needs_is_asked_for_before_training(scenes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycocotools', None)
    assert_refused(run_train(scenes, tmp_path / 'run', '--model', 'faster_rcnn_fpn_resnest50'), 'pycocotools')
    assert not (tmp_path / 'run').exists()


def test_a_stop_is_heard_between_the_passes_of_precise_bn(scenes, tmp_path, monkeypatch, capfd):
    """Asked for in the first of two passes, as by a signal."""
    passes, made, add = [], [], renewing._add

    class Request(StopRequest):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    def interrupted(sums, norm, inputs):
        if norm not in sums:
            made[-1]._asked = True
        passes.append(norm)
        add(sums, norm, inputs)

    monkeypatch.setattr(engine, 'StopRequest', Request)
    monkeypatch.setattr(renewing, '_add', interrupted)
    result = run_train(scenes, tmp_path, '--num-epochs', 1, '--precise-bn', 2, '--short-sides', 72, 136,
                       '--side-choice', 'list', '--long-side', 250, '--pad-multiple', 64, '--batch-size', 2)
    assert result.returncode == EXIT_AGAIN
    assert 'MKLDNN' not in result.stderr + capfd.readouterr().err       # at any size of images
    assert len(passes) == len(set(passes)) > 0


@pytest.mark.slow
@needs_horovod
def test_two_ranks_are_one(scenes, tmp_path):
    """The losses of the first two steps; later ones follow proposals whose scores are all but equal."""
    found = []
    for ranks in (1, 2):
        words = map(str, ('--data-dir', scenes, '--save-dir', tmp_path / str(ranks), *RECIPE, '--batch-size',
                          4 // ranks, '--num-epochs', 1, '--sync-bn', '--precise-bn', 1))
        result = command(*horovodrun(ranks), sys.executable, '-m', 'resnest', 'train-detection', *words, cwd=ROOT)
        assert result.returncode == 0, result.stdout + result.stderr
        found += log(tmp_path / str(ranks))
    assert found[1] == pytest.approx(found[0], rel=1e-4)


@pytest.mark.slow
@needs_horovod
def test_two_ranks_that_were_killed_go_on_to_the_same_bytes(scenes, tmp_path):
    go_on_after_a_kill('detection', tmp_path, '--data-dir', scenes, *RECIPE, '--batch-size', 2)
