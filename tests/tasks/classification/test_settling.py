"""Commands with described weights and nothing else, against the same with every option; what contradicts them."""
import dataclasses
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from resnest.errors import InputError
from resnest.gluon import get_model
from resnest.gluon.data import FolderSet
from resnest.gluon.data.images.class_folders import image_folder
from resnest.gluon.data.preparing.preparation import Options, prepare
from resnest.gluon.distributed import current
from resnest.gluon.models.weights.conversion import convert, described
from resnest.gluon.models.weights.description import Description, write_description
from resnest.gluon.tasks.classification import ClassificationConfig, classify_pictures, verification, verify
from resnest.gluon.tasks.classification.opening import going_on, settle_images
from resnest.gluon.tasks.classification.settling import settle
from resnest.gluon.training import earlier_recipe
from resnest.gluon.training.recipe import differences, resolved
from resnest.gluon.training.run import checkpoint

from ...conftest import assert_refused, encoded, randomize, script_here

OPTIONS = {'stem_width': 8, 'bottleneck_width': 8}
CROP = {'crop_size': 40, 'crop_ratio': 0.8, 'interpolation': 'bicubic', 'mean': [0.5, 0.4, 0.3]}
NAMES = ['ant', 'bee', 'cat', 'dog']


@pytest.fixture(scope='module')
def weights(tmp_path_factory, photos):
    """``(bare, told)``: the same weights alone, and described."""
    folder = tmp_path_factory.mktemp('weights')
    net = randomize(get_model('resnest14', classes=4, **OPTIONS))
    for name in ('bare', 'told'):
        net.save_parameters(str(folder / f'{name}.params'))
    described = Description('resnest14', 4, {**OPTIONS, **CROP}, NAMES, decoding='upright',
                            held_out={'val_fraction': 0.5, 'seed': 1,
                                      'sample': FolderSet(photos / 'val', 'train', 0.5, 1).sample()})
    write_description(folder / 'told.params', described)
    return folder / 'bare.params', folder / 'told.params'


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Folders of three of the four classes."""
    folder, rng = tmp_path_factory.mktemp('photos'), np.random.default_rng(0)
    for name in ('bee', 'cat', 'dog'):
        (folder / 'val' / name).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 255, (48, 60, 3), dtype=np.uint8)
            (folder / 'val' / name / f'{number}.png').write_bytes(encoded(pixels))
    return folder


def test_verify_and_classify_need_only_the_weights(weights, photos, tmp_path):
    """The same predictions from both, the same pictures right, in whatever order the classes come."""
    found = verify(weights=weights[1], data_dir=photos, no_cuda=True, confusion=tmp_path / 'c.json')
    assert (found['model'], found['crop_size'], found['seen']) == ('resnest14', 40, 12)
    assert [(entry['name'], entry['seen']) for entry in found['classes']] == [(name, 4) for name in NAMES[1:]]
    assert sum(entry['right'] for entry in found['classes']) == found['correct1']
    results, problems = classify_pictures([photos / 'val'], weights=weights[1], no_cuda=True)
    assert not problems
    told = [(result['file'].split('/')[-2], result['top'][0]['name']) for result in results]
    assert sum(name == answer for name, answer in told) == found['correct1']
    by_hand, _ = classify_pictures([photos / 'val'], 'resnest14', weights[0], no_cuda=True,
                                   model_options={**OPTIONS, **CROP})
    assert [[entry['probability'] for entry in result['top']] for result in results] == \
        [[entry['probability'] for entry in result['top']] for result in by_hand]
    assert {entry['name'] for result in by_hand for entry in result['top']} == set('0123')


def test_the_held_out_part_alone_is_verified(weights, photos, capsys):
    found = verify(weights=weights[1], data_dir=photos / 'val', no_cuda=True)
    count = len(FolderSet(photos / 'val', 'val', 0.5, 1))
    assert 0 < found['seen'] == count < 12
    assert f'the {count} images are verified that training held out (--val-fraction 0.5)' in capsys.readouterr().err


@pytest.mark.parametrize('fraction, seed, told', [(0.5, 1, False), (0.25, 1, False), (0.75, 1, True), (0.5, 2, True)])
def test_shards_of_images_that_were_trained_on_are_told(weights, photos, tmp_path, capsys, fraction, seed, told):
    """Which hold out no more than was held out, by the same seed, are those of no image that was trained on."""
    prepare(image_folder(photos / 'val', fraction, seed), tmp_path, Options(), seed)
    verify(weights=weights[1], rec_dir=tmp_path, no_cuda=True)
    wanted = 'were trained on; prepare them with --val-fraction 0.5 --seed 1, as they were held out there'
    shown = capsys.readouterr().err
    assert ((wanted in shown), 'images/s' in shown) == (told, False)        # nor a bar, where there is no terminal


def test_a_folder_with_training_images_alone_is_verified_and_calibrated_as_it_was_trained_on(weights, photos, tmp_path,
                                                                                            monkeypatch):
    """Verified are the images held out, int8 learns from all others; another such folder says what is missing."""
    shutil.copytree(photos / 'val', tmp_path / 'train')
    told, seen = tmp_path / 'told.params', {}
    shutil.copy(weights[1], told)
    sample = FolderSet(tmp_path, 'train').sample()
    write_description(told, dataclasses.replace(described(weights[1]), held_out={
        'val_fraction': 0.25, 'seed': 1, 'sample': sample}))

    def calibrate(records, *_):
        seen['train'] = set(map(records.where, range(len(records))))

    def load(records, *_, **settings):
        seen['val'] = set(map(records.where, range(len(records))))
        raise ZeroDivisionError

    monkeypatch.setattr(verification, 'calibration_batches', calibrate)
    monkeypatch.setattr(verification, 'gluon_engine', lambda *_: SimpleNamespace(report={}))
    monkeypatch.setattr(verification, 'Loader', load)
    for folder in (tmp_path, tmp_path / 'train'):
        with pytest.raises(ZeroDivisionError):
            verify(weights=told, data_dir=folder, precision='int8', no_cuda=True)
        assert (len(seen['val']), len(seen['train'])) == (4, 8)
        assert seen['val'] | seen['train'] == set(map(str, (tmp_path / 'train').glob('*/*')))
    for path in (tmp_path / 'train').glob('*/*'):
        path.write_bytes(path.read_bytes() + b'.')
    with pytest.raises(InputError, match='val: missing, but there is .* the one that holds one folder per class$'):
        verify(weights=told, data_dir=tmp_path, no_cuda=True)


def test_a_folder_that_was_not_trained_on_is_verified_whole(weights, photos, tmp_path):
    """The folder that was is known by some of its images, though classes of it be gone and images new."""
    told = tmp_path / 'told.params'
    shutil.copy(weights[1], told)
    sample = FolderSet(photos / 'val', 'train', 0.5, 1).sample()
    write_description(told, dataclasses.replace(described(weights[1]), held_out={
        'val_fraction': 0.5, 'seed': 1, 'sample': sample}))
    folder = tmp_path / 'pictures'
    shutil.copytree(photos / 'val', folder)
    (folder / NAMES[1] / 'new.png').write_bytes((folder / NAMES[1] / '0.png').read_bytes())
    shutil.rmtree(folder / NAMES[3])
    assert verify(weights=told, data_dir=folder, no_cuda=True)['seen'] == len(FolderSet(folder, 'val', 0.5, 1)) < 9
    for name in NAMES[1:3]:
        for path in (folder / name).iterdir():
            path.write_bytes(path.read_bytes() + b'.')      # other pictures of the same names
    assert verify(weights=told, data_dir=folder, no_cuda=True)['seen'] == 5 + 4


def test_a_single_class_is_verified_where_its_name_tells_the_label(weights, photos, tmp_path):
    whole = verify(weights=weights[1], data_dir=photos, no_cuda=True)['classes']
    shutil.copytree(photos / 'val' / 'cat', tmp_path / 'val' / 'cat')
    alone, = verify(weights=weights[1], data_dir=tmp_path, no_cuda=True)['classes']
    assert alone == next(entry for entry in whole if entry['name'] == 'cat')
    held_out, = verify(weights=weights[1], data_dir=tmp_path / 'val', no_cuda=True)['classes']
    assert held_out['seen'] == 2
    with pytest.raises(InputError, match='cat is the only folder, so every image would get label 0'):
        verify('resnest14', weights=weights[0], model_options=OPTIONS, data_dir=tmp_path, num_classes=4, no_cuda=True)
    (tmp_path / 'val' / 'cat').rename(tmp_path / 'val' / 'pictures')
    with pytest.raises(InputError, match='do not know pictures, only ant, bee, cat, dog'):
        verify(weights=weights[1], data_dir=tmp_path, no_cuda=True)


def test_conversion_keeps_the_description(weights, tmp_path):
    """There and back, through the metadata of a safetensors file; the network's name is not asked for."""
    convert(weights[1], tmp_path / 'a.safetensors')
    convert(tmp_path / 'a.safetensors', tmp_path / 'b.params')
    assert described(tmp_path / 'b.params').spec == described(weights[1]).spec == described(
        tmp_path / 'a.safetensors').spec
    assert described(tmp_path / 'b.params').names == NAMES
    net = get_model(str(tmp_path / 'b.params'))
    assert (net.description.names, net.spec.crop_size, net.fc.weight.shape[0]) == (NAMES, 40, 4)
    for source, model, wanted in ((weights[1], 'resnest50', 'weights of resnest14, not of resnest50'),
                                  (weights[0], None, 'give --model')):
        with pytest.raises(InputError, match=wanted):
            convert(source, tmp_path / 'c.params', model)
    (tmp_path / 'd.json').write_text('{"mine": 1}')
    with pytest.raises(InputError, match='d.json: would be replaced'):
        convert(weights[1], tmp_path / 'd.params')
    assert not (tmp_path / 'd.params').exists()


def test_contradictions_name_both(weights, photos):
    bare, told = weights
    for given, wanted in (
            (dict(model='resnest50', weights=told), 'weights of resnest14, not of resnest50'),
            (dict(weights=told, num_classes=5), 'know 4 classes, not 5'),
            (dict(weights=told, options={'radix': 4}), 'radix is 2, not 4'),
            (dict(model='resnest14', weights=bare, options=OPTIONS, num_classes=None), None)):
        if wanted:
            with pytest.raises(InputError, match=wanted):
                settle(**given)
        else:
            assert settle(**given).classes == 4
    for option in ('--json', '--confusion'):
        assert_refused(script_here('gluon/verify.py', '--resume', told, '--data-dir', photos, option,
                                   told.with_suffix('.json')), 'told.json: describes', f'give {option} another name')
    for path, wanted in ((bare, 'no file beside it describes'), (bare.with_name('x.params'), 'no such file')):
        with pytest.raises(InputError, match=wanted):
            get_model(path)
    known = settle(weights=told)
    assert list(known.surprises(known.crop(64), None)) == [f'note: images of 64 px; {known.what} were made with 40 px']


def test_a_run_that_starts_from_described_weights_is_of_their_network(weights):
    config = ClassificationConfig(resume_params=str(weights[1]), input_size=48)
    found, spec = settle_images(config, described(weights[1]))
    assert (found.model, found.input_size, found.crop_ratio, found.mean) == ('resnest14', 48, 0.8, CROP['mean'])
    assert (spec.stem_width, spec.crop_size) == (8, 48)
    with pytest.raises(InputError, match='of resnest14, not of resnest101'):
        settle_images(ClassificationConfig(model='resnest101'), described(weights[1]))
    assert settle_images(ClassificationConfig())[0].model == 'resnest50'


def test_evaluation_alone_is_of_the_classes_that_the_weights_know(weights, photos, tmp_path):
    """As verify has it, in another order of the classes; not with a new classifier, nor for classes of other names."""
    folder, told = tmp_path / 'photos', tmp_path / 'told.params'
    shutil.copytree(photos / 'val', folder / 'val')
    shutil.copytree(photos / 'val' / 'dog', folder / 'val' / 'ant')
    shutil.copytree(folder / 'val', folder / 'train')
    shutil.copy(weights[1], told)
    write_description(told, dataclasses.replace(described(weights[1]), names=['dog', 'cat', 'ant', 'bee']))

    def evaluated():
        return script_here('gluon/train.py', '--data-dir', folder, '--resume-params', told, '--eval-only', '--no-cuda',
                           '--batch-size', 4)
    wanted, result = verify(weights=told, data_dir=folder, no_cuda=True), evaluated()
    assert result.returncode == 0, result.stderr
    figures = dict(re.findall('(\\S+) ([0-9.]+)', result.stdout.splitlines()[-1]))
    assert (result.stdout.split()[-1], wanted['seen']) == ('16', 16)
    assert float(figures['top1']) == pytest.approx(wanted['top1'], abs=0.01)
    assert float(figures['val_loss']) == pytest.approx(wanted['loss'], abs=1e-3)
    for split in ('train', 'val'):
        (folder / split / 'ant').rename(folder / split / 'emu')
    assert_refused(evaluated(), 'do not know emu, only dog, cat, ant, bee')
    for split in ('train', 'val'):
        shutil.rmtree(folder / split / 'emu')
    assert_refused(evaluated(), 'the weights are for other classes than the 3 of the data', 'resnest verify')


def test_a_run_goes_on_without_the_weights_that_it_started_from(weights, tmp_path):
    """Network and images are those of the checkpoint; what is given besides is compared with them."""
    config, spec = settle_images(ClassificationConfig(resume_params=str(weights[1]), input_size=48),
                                 described(weights[1]))
    state = {'epoch': 1, 'step': 0, 'skipped_steps': 0, 'best': None, 'rows': [], 'seconds': 1.0, 'loss_scale': None,
             'recipe': resolved(config)}
    path = checkpoint.save(tmp_path, 1, 0, {}, state)
    for resume in ('auto', str(path)):
        again = ClassificationConfig(resume_params=str(tmp_path / 'gone.params'), resume=resume, save_dir=str(tmp_path))
        before = earlier_recipe(again, current())
        found = going_on(again, before)
        assert settle_images(found) == (found, spec)
        assert differences(found, state['recipe']) == []
        told = script_here('gluon/train.py', '--save-dir', tmp_path, '--resume', resume, '--print-config')
        assert told.returncode == 0, told.stderr
        assert yaml.safe_load(told.stdout)['model_options'] == OPTIONS
    other = dataclasses.replace(again, model='resnest26', model_options={'radix': 1}, mean=[0.1, 0.1, 0.1])
    assert [text.split()[0] for text in differences(going_on(other, before), state['recipe'])] == [
        '--model', '--model-options', '--mean']
    assert earlier_recipe(ClassificationConfig(resume='auto', save_dir=str(tmp_path / 'none')), current()) is None
