"""The commands of segmentation as a user runs them, on blocks of colour: whole runs, and what bad input says."""
import json
import shutil

import mxnet as mx
import numpy as np
import onnx
import pytest
from PIL import Image

from resnest.commands import classify, export
from resnest.commands.segmentation import train
from resnest.gluon import device, get_model
from resnest.gluon.inference import optimize
from resnest.gluon.inference.export.onnx_files import export_onnx
from resnest.gluon.models.weights.description import read_description

from ...conftest import assert_refused, randomize, read_json, run_here
from ...training.runs import assert_same_end
from .little_runs import NETWORK, RECIPE, run_segment, run_train, run_verify, write_blocks


@pytest.fixture(scope='module')
def blocks(tmp_path_factory):
    return write_blocks(tmp_path_factory.mktemp('blocks'))


@pytest.fixture(scope='module')
def trained(blocks, tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    result = run_train(blocks, folder, '--save-steps', 1, '--keep', 9, '--hard-threshold', '--ema-decay', 0.5)
    assert result.returncode == 0, result.stderr
    return folder


def test_training_writes_everything(trained):
    assert {path.name for path in trained.iterdir()} >= {'best.json', 'best.params', 'config.yaml', 'curves.png',
                                                         'log.jsonl', 'summary.json', 'tensorboard'}
    rows = [json.loads(line) for line in (trained / 'log.jsonl').read_text().splitlines()]
    assert [row['epoch'] for row in rows] == [1, 2]
    assert rows[0].keys() >= {'loss', 'train_accuracy', 'pixel_accuracy', 'miou'}


def test_the_weights_tell_all_that_is_needed(trained):
    found = read_description(trained / 'best.params')
    assert (found.task, found.names, len(found.own['palette'])) == ('segmentation', ['ground', 'red', 'green'], 3)
    for net in (get_model(str(trained / 'best.params')),
                get_model('deeplab_resnest50_ade', pretrained=str(trained / 'best.params'))):
        assert (net.spec.base, net.spec.classes, net.spec.crop_size, net.backbone.stem_width) == ('resnest14', 3, 32, 8)


def test_weights_without_an_auxiliary_head_go_on_at_another_stride(blocks, tmp_path):
    """Trained at 16, which is cheap, and then at 8; the commands see for themselves that the head is not there."""
    coarse, fine = tmp_path / 'coarse', tmp_path / 'fine'
    short = '--aux-weight', 0, '--num-epochs', 1
    for folder, words in ((coarse, ()), (fine, ('--resume-params', coarse / 'best.params',
                                                '--model-options', 'output_stride=8'))):
        result = run_train(blocks, folder, *short, *words)
        assert result.returncode == 0, result.stderr
    for folder, stride in ((coarse, 16), (fine, 8)):
        net = get_model(str(folder / 'best.params'))
        assert (net.spec.output_stride, net.auxlayer) == (stride, None)
        assert run_segment(blocks / 'images/val/0.png', '--resume', folder / 'best.params').returncode == 0


def test_weights_with_and_without_an_auxiliary_head_start_each_other(trained, blocks, tmp_path):
    for folder, source, weight, told in (('without', trained, 0, 'their auxiliary head is left out'),
                                         ('with', tmp_path / 'without', 0.5, 'they have no auxiliary head, this one')):
        result = run_train(blocks, tmp_path / folder, '--resume-params', source / 'best.params', '--aux-weight', weight,
                           '--num-epochs', 1, '--lr', 0)
        assert result.returncode == 0, result.stderr
        assert told in result.stdout
    first, last = (get_model(str(folder / 'best.params')) for folder in (trained, tmp_path / 'with'))
    assert (first.head.block[4].weight.data() == last.head.block[4].weight.data()).min() == 1
    assert (first.auxlayer.block[4].weight.data() != last.auxlayer.block[4].weight.data()).min() == 1


def test_a_run_goes_on_without_what_it_started_from(trained, blocks, tmp_path):
    start = tmp_path / 'start'
    start.mkdir()
    for name in ('best.params', 'best.json'):
        shutil.copy(trained / name, start)
    words = ('--data-dir', blocks, '--save-dir', tmp_path / 'run', *RECIPE[1 + len(NETWORK):], '--resume-params',
             start / 'best.params', '--save-steps', 1, '--keep', 9)
    assert run_here(train.main, 'train_segmentation.py', *words).returncode == 0
    wanted = (tmp_path / 'run/best.params').read_bytes()
    shutil.rmtree(start)
    for path in (tmp_path / 'run').iterdir():
        if path.name != 'checkpoint-0000-000001.npz':
            path.unlink() if path.is_file() else shutil.rmtree(path)
    result = run_here(train.main, 'train_segmentation.py', *words, '--resume', 'auto')
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'run/best.params').read_bytes() == wanted


def test_a_bad_picture_is_left_out(trained, blocks, tmp_path):
    data = shutil.copytree(blocks, tmp_path / 'data')
    bad = data / 'images/val/1.png'
    bad.write_bytes(bad.read_bytes()[:200])
    assert_refused(run_train(data, tmp_path / 'run', '--num-epochs', 1), bad, '--skip-bad')
    assert_refused(run_verify('--data-dir', data, '--resume', trained / 'best.params'), bad, 'remove it from the data')
    result = run_train(data, tmp_path / 'more', '--num-epochs', 1, '--skip-bad')
    assert result.returncode == 0, result.stderr
    assert '1 bad left out of validation' in result.stdout
    assert read_json(tmp_path / 'more/summary.json')['seen'] == 2


def test_what_training_held_out_is_verified(blocks, tmp_path):
    """Of the folder that was trained on; of others all pictures are."""
    for name in ('data', 'other'):
        for part in ('images', 'maps'):
            shutil.copytree(blocks / part / 'train', tmp_path / name / part)
    for path in (tmp_path / 'other/images').iterdir():
        with Image.open(path) as image:
            image.transpose(Image.FLIP_LEFT_RIGHT).save(path)
    result = run_train(tmp_path / 'data', tmp_path / 'run', '--val-fraction', 0.25, '--seed', 3, '--num-epochs', 1)
    assert result.returncode == 0, result.stderr
    held_out = read_description(tmp_path / 'run/best.params').held_out
    assert (held_out['val_fraction'], held_out['seed'], len(held_out['sample'])) == (0.25, 3, 8 - read_json(
        tmp_path / 'run/summary.json')['seen'])
    for name, told in (('data', True), ('other', False)):
        result = run_verify('--data-dir', tmp_path / name, '--resume', tmp_path / 'run/best.params', '--json',
                            tmp_path / 'x.json')
        assert result.returncode == 0, result.stderr
        assert ('pictures are verified that training held out' in result.stderr) == told
        assert read_json(tmp_path / 'x.json')['seen'] == (8 - len(held_out['sample']) if told else 8)


def test_killed_and_resumed_to_the_same_bytes(trained, blocks, tmp_path):
    """From a checkpoint in the middle of the first epoch."""
    shutil.copy(trained / 'checkpoint-0000-000001.npz', tmp_path)
    result = run_train(blocks, tmp_path, '--save-steps', 1, '--keep', 9, '--hard-threshold', '--ema-decay', 0.5,
                       '--resume', 'auto')
    assert result.returncode == 0, result.stderr
    assert 'going on from' in result.stdout
    assert_same_end(tmp_path, trained)


def test_int8_tells_on_how_many_pixels_it_agrees(trained, blocks, tmp_path):
    result = run_verify('--data-dir', blocks, '--resume', trained / 'best.params', '--precision', 'int8',
                        '--calibration-images', 2, '--json', tmp_path / 'x.json')
    assert result.returncode == 0, result.stderr
    agreement = read_json(tmp_path / 'x.json')['report']['pixel_agreement']
    assert f'pixel agreement: {agreement}' in result.stdout
    assert agreement >= 0.98


def test_verifying_agrees_with_training(trained, blocks, tmp_path):
    result = run_verify('--data-dir', blocks, '--resume', trained / 'best.params', '--json', tmp_path / 'x.json')
    assert result.returncode == 0, result.stderr
    found, summary = read_json(tmp_path / 'x.json'), read_json(trained / 'summary.json')
    assert found['seen'] == 3
    # Optimized for the CPU: a pixel on an edge may fall to the other side.
    assert found['miou'] == pytest.approx(summary['miou'], abs=0.2)
    assert [row['name'] for row in found['classes']] == ['ground', 'red', 'green']
    assert 'IoU of each class' in result.stdout


def test_exported_files_verify_and_segment_as_the_weights(trained, blocks, tmp_path):
    """As ONNX, and optimized: with the classes' names and colours, whatever the size of the pictures."""
    picture, words = blocks / 'images/val/0.png', ('--resume', trained / 'best.params', '--image-size', 40)
    for more in (['--output', tmp_path / 'x.onnx'], ['--format', 'symbol', '--output', tmp_path / 'x']):
        result = run_here(export.main, 'export.py', *words, *more)
        assert result.returncode == 0, result.stderr
    found, segmented, at_scales = [], [], []
    for number, given in enumerate((['--resume', trained / 'best.params'], ['--resume', tmp_path / 'x'],
                                    ['--engine', 'onnxruntime', tmp_path / 'x.onnx'])):
        result = run_verify('--data-dir', blocks, *given, '--json', tmp_path / f'{number}.json')
        assert result.returncode == 0, result.stderr
        found.append(read_json(tmp_path / f'{number}.json'))
        result = run_verify('--data-dir', blocks, *given, '--multi-scale', '--limit', 1, '--json', tmp_path / 'y.json')
        assert result.returncode == 0, result.stderr
        at_scales.append(read_json(tmp_path / 'y.json')['miou'])
        result = run_segment(picture, '--resume', given[-1], '--maps', tmp_path / str(number))
        assert result.returncode == 0, result.stderr
        segmented.append((tmp_path / str(number) / '0.png').read_bytes())
    assert [each.pop('engine') for each in found] == ['gluon', 'gluon', 'onnxruntime']
    assert at_scales == pytest.approx(at_scales[:1] * 3, abs=0.2)
    for each in found[1:]:
        assert each.keys() == found[0].keys()
        assert [row['name'] for row in each['classes']] == ['ground', 'red', 'green']
        assert each['miou'] == pytest.approx(found[0]['miou'], abs=0.2)
    assert segmented[0] == segmented[1] == segmented[2]
    for words, wanted in ((['--resume', tmp_path / 'x.onnx', '--precision', 'int8'], 'leave out --precision'),
                          (['--resume', tmp_path / 'x.onnx', '--engine', 'onnxruntime', 'y'], 'leave out --resume'),
                          (['--resume', tmp_path / 'x', '--model-options', 'classes=4'], 'leave out classes'),
                          (['--resume', tmp_path / 'x', '--model', 'deeplab_resnest101_ade'], 'leave out the model')):
        assert_refused(run_verify('--data-dir', blocks, *words), wanted)
    for name in ('x', 'x.onnx'):
        assert_refused(run_here(classify.main, 'classify.py', picture, '--resume', tmp_path / name), 'x')
    (tmp_path / 'x-symbol.json').unlink()
    for result in (run_segment(picture, '--resume', tmp_path / 'x'),
                   run_here(classify.main, 'classify.py', picture, '--resume', tmp_path / 'x')):
        assert_refused(result, 'x-symbol.json: no such file; export writes it beside x.json')


def test_narrow_pictures(trained, blocks, tmp_path):
    for number, size in enumerate([(1, 1), (300, 2)]):
        Image.new('RGB', size).save(tmp_path / f'{number}.png')
    result = run_segment(tmp_path, '--resume', trained / 'best.params', '--maps', tmp_path / 'maps')
    assert result.returncode == 0, result.stderr
    assert [Image.open(tmp_path / f'maps/{number}.png').size for number in range(2)] == [(1, 1), (300, 2)]
    assert_refused(run_verify('--data-dir', blocks, '--resume', trained / 'best.params', '--base-size', 1),
                   '--base-size must be at least 9 for this network, got 1')


def test_crops_beyond_memory(trained, blocks, monkeypatch):
    monkeypatch.setattr(device, '_free_memory', lambda _: 1 << 30)
    assert_refused(run_verify('--data-dir', blocks, '--resume', trained / 'best.params', '--crop-size', 8192),
                   '--crop-size 8192: a map of 8192 x 8192 pixels with 3 classes takes more than 1.5 GB',
                   'use a smaller one')


def test_exported_files_of_classifiers_and_of_one_size_are_refused(blocks, tmp_path, tiny):
    path = tmp_path / 'x.onnx'
    classifier = randomize(tiny())
    export_onnx(classifier, path, 32)
    assert_refused(run_verify('--data-dir', blocks, '--resume', path), path, 'a class for each image, not for each')
    optimize(classifier, mx.nd.zeros((1, 3, 32, 32))).export(tmp_path / 'y')
    assert_refused(run_verify('--data-dir', blocks, '--resume', tmp_path / 'y'), tmp_path / 'y')
    net = randomize(get_model('deeplab_resnest50_ade', blocks=(1, 1, 1, 1), classes=3, stem_width=8, rates=(1, 2, 3),
                              bottleneck_width=8))
    export_onnx(net, path, 40)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 40
    onnx.save(model, path)
    assert_refused(run_verify('--data-dir', blocks, '--resume', path), path, 'data is no array (N, C, H, W) of float32 '
                   'and any size')


def test_segmenting_writes_shares_maps_and_a_figure(trained, blocks, tmp_path):
    result = run_segment(blocks / 'images/val', '--resume', trained / 'best.params', '--json', tmp_path / 'x.json',
                         '--maps', tmp_path / 'maps', '--figure', tmp_path / 'x.png')
    assert result.returncode == 0, result.stderr
    picture, *others = read_json(tmp_path / 'x.json')['pictures']
    assert len(others) == 2
    with Image.open(tmp_path / 'maps/0.png') as made:
        assert (made.mode, list(made.size)) == ('P', picture['size'])
        labels = np.asarray(made)
        assert made.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    for each in picture['classes']:
        assert each['share'] == (labels == each['class']).mean()
    assert sum(each['share'] for each in picture['classes']) == pytest.approx(1)
    assert (tmp_path / 'x.png').read_bytes().startswith(b'\x89PNG')


def test_other_classes_and_a_classifier_to_start_from(trained, blocks, tmp_path, tiny):
    other = write_blocks(tmp_path / 'other', 4, 1)
    (other / 'classes.txt').write_text('ground\nred\ngreen\nblue\n')
    result = run_train(other, tmp_path / 'run', '--resume-params', trained / 'best.params', '--freeze', 'stem',
                       'layer1', '--backbone-lr-factor', 0.1, '--num-epochs', 1)
    assert result.returncode == 0, result.stderr
    assert 'their last layers are for other classes, those for 4 are new' in result.stdout
    before, after = (get_model(str(path / 'best.params')) for path in (trained, tmp_path / 'run'))
    assert (before.conv1[0].weight.data() == after.conv1[0].weight.data()).min() == 1
    assert (before.layer3[0].conv1.weight.data() != after.layer3[0].conv1.weight.data()).max() == 1

    classifier = get_model('resnest14', bottleneck_width=8, stem_width=8, classes=7)
    classifier.initialize()
    classifier.save_parameters(str(tmp_path / 'classifier.params'))
    result = run_train(blocks, tmp_path / 'more', '--resume-params', tmp_path / 'classifier.params', '--freeze', 'stem',
                       '--num-epochs', 1)
    assert result.returncode == 0, result.stderr
    assert 'they are those of the backbone, the heads are new' in result.stdout
    found = get_model(str(tmp_path / 'more/best.params'))
    assert (found.conv1[0].weight.data() == classifier.conv1[0].weight.data()).min() == 1


@pytest.mark.parametrize('words, wanted', [
    (['--crop-size', 16384], ['--crop-size 16384', 'GB of memory', 'smaller']),
    (['--crop-size', 16384, '--batch-size', 10 ** 6], ['--crop-size 16384', 'GB of memory', 'smaller']),
    (['--crop-size', 8], ['--crop-size must be at least']),
    (['--num-classes', 0], ['--num-classes must be at least 2']),
    (['--num-classes', 7], ['--num-classes 7', '3 classes']),
    (['--class-weights', 1, 2], ['2 class weights, but 3 classes']),
    (['--class-weights', 0, 0, 0], ['--class-weights: all of them are 0']),
    (['--batch-size', 100], ['8 training records']),
    (['--hard-share', 0.5], ['--hard-share does nothing without --hard-threshold']),
    (['--images', 'x'], ['--data-dir', '--images']),
    (['--model', 'resnest50'], ['resnest50']),
    (['--pretrained-backbone', '--pretrained'], ['--pretrained-backbone']),
], ids=lambda value: None if isinstance(value[0], str) and ' ' in value[0] else str(value[0]))
def test_recipes_that_cannot_be(words, wanted, blocks, tmp_path):
    assert_refused(run_train(blocks, tmp_path / 'run', *words), *wanted)
    assert not (tmp_path / 'run').exists()


def test_data_without_maps(blocks, tmp_path):
    shutil.copytree(blocks / 'images', tmp_path / 'data/images')
    assert_refused(run_train(tmp_path / 'data', tmp_path / 'run'), 'a data set with no maps')
    assert not (tmp_path / 'run').exists()


def test_weights_of_another_task(trained, blocks, tmp_path):
    picture = blocks / 'images/val/0.png'
    assert_refused(run_here(classify.main, 'classify.py', picture, '--resume', trained / 'best.params'),
                   'weights of a network for segmentation')
    assert_refused(run_verify('--data-dir', blocks, '--resume', trained / 'best.params', '--model-options', 'head=fcn'),
                   'leave out head')
    names = tmp_path / 'names.txt'
    names.write_text('ground\ngreen\nred\n')
    assert_refused(run_verify('--data-dir', blocks, '--classes', names, '--resume', trained / 'best.params'),
                   "'red' where these have 'green'")
