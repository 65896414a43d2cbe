"""Training and verifying a small pose network on scenes of digits."""
import json

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from resnest.commands import classify, export
from resnest.commands.pose import train, verify
from resnest.commands.pose.pose import main as pose
from resnest.commands.pose.train import main as train_pose
from resnest.commands.pose.verify import main as verify_pose
from resnest.errors import InputError
from resnest.gluon import get_model
from resnest.gluon.data import with_normalization
from resnest.gluon.data.coco.keypoints import Joints
from resnest.gluon.tasks.pose import PoseConfig
from resnest.gluon.tasks.pose.data import Plain
from resnest.gluon.tasks.pose.drawing import draw
from resnest.gluon.tasks.pose.estimation import estimate
from resnest.gluon.tasks.pose.placing import moved
from resnest.gluon.tasks.pose.training import Pose

from ...conftest import assert_refused, run_here
from .little_people import SMALL, write


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """``(data, folder of the run, code)``."""
    folder = tmp_path_factory.mktemp('pose')
    data = write(folder / 'scenes')
    code = train_pose(['--data-dir', str(data), '--model-options', *SMALL, '--num-epochs', '2', '--batch-size', '4',
                       '--no-cuda', '--save-dir', str(folder / 'run')])
    return data, folder / 'run', code


def test_a_run_describes_its_weights(run):
    data, folder, code = run
    assert code == 0
    told = json.loads((folder / 'best.json').read_text())
    assert (told['task'], told['classes']) == ('pose', 4)
    assert told['names'] == ['top', 'right', 'bottom', 'left']
    assert told['own']['skeleton'] == [[0, 1], [1, 2], [2, 3], [3, 0]]
    net = get_model(str(folder / 'best.params'))
    assert net.spec.map_size == (16, 16)
    assert net(mx.nd.zeros((1, 3, 64, 64))).shape == (1, 4, 16, 16)


def test_verified_is_what_training_measured(run, tmp_path):
    data, folder, _ = run
    verify_pose(['--data-dir', str(data), '--resume', str(folder / 'best.params'), '--no-cuda', '--batch-size', '3',
                 '--json', str(tmp_path / 'found.json')])
    found = json.loads((tmp_path / 'found.json').read_text())
    figures = json.loads((folder / 'best.json').read_text())['figures']
    assert found['plain']['ap'] == pytest.approx(figures['ap'])
    assert found['people'] > 3
    assert found['mirrored'].keys() == found['plain'].keys()


def test_maps_of_mirror_images_are_turned_back_and_moved_by_a_pixel():
    """Where the map is the brightness: 200 and 60 beside 50 become (200 + 50) / 2 and (60 + 200) / 2."""
    def maps(pixels):
        bright = pixels.astype('float32').mean(axis=3)
        return mx.nd.stack(bright, bright, axis=1)

    crops = np.zeros((1, 8, 12, 3), np.uint8)
    crops[0, 3, 4], crops[0, 3, 5], crops[0, 3, 3] = 200, 60, 50
    plain, _ = estimate(maps, crops, mx.cpu())
    both, scores = estimate(maps, crops, mx.cpu(), [(0, 1)])
    assert plain.tolist() == [[[4.25, 3]] * 2]
    assert both.tolist() == [[[4.75, 3]] * 2]
    assert scores.tolist() == [[130] * 2]


def test_the_loss_by_its_formula():
    """Half the mean of (w (h - t))², by a loop."""
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 3, 2, 5, 4)).astype('float32')
    outputs, truth = maps[0], maps[1]
    weights = np.array([[1, 0], [1, 1], [0, 0]], 'float32')
    found = Pose.loss(None, mx.nd.array(outputs), (mx.nd.array(truth), mx.nd.array(weights))).asnumpy()
    expected = [sum((weights[n, j] * (outputs[n, j, y, x] - truth[n, j, y, x])) ** 2
                    for j in range(2) for y in range(5) for x in range(4)) / 40 / 2 for n in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_backbone_is_a_start(run, tmp_path):
    """Weights of a classifier give their values to the stages, whose network they tell."""
    from resnest.gluon.tasks.pose.making import adopt
    net = get_model('simple_pose_resnest50', base='resnest14', planes=[8, 8, 16, 16], stem_width=4, joints=4)
    trunk = get_model('resnest14', planes=[8, 8, 16, 16], stem_width=4, classes=5)
    for each in (net, trunk):
        each.initialize(mx.init.Xavier())
    trunk(mx.nd.zeros((1, 3, 32, 32)))
    adopt(net, trunk)
    x = mx.nd.random.normal(shape=(1, 3, 64, 64))
    np.testing.assert_array_equal(net.resnet(x).asnumpy(), trunk.forward_features(x).asnumpy())


@pytest.mark.parametrize('values, told', [
    ({'data_dir': 'a', 'images': 'b'}, '--data-dir is a whole data set'),
    ({'images': 'b'}, 'all three'), ({'rotation': -1}, '--rotation'), ({'scale': 1}, '--scale'),
    ({'pretrained': True, 'pretrained_backbone': True}, 'give one of them')])
def test_recipes_that_contradict_themselves(values, told):
    with pytest.raises(InputError, match=told):
        PoseConfig(**values)


def test_published_weights_of_the_backbone_are_a_start(run, tmp_path, monkeypatch):
    """With a rate of 0 the stages are theirs in the end, and the deconvolutions new."""
    classifier = get_model('resnest14', planes=[8, 8, 16, 16], stem_width=4)
    classifier.initialize(mx.init.Xavier())
    classifier.save_parameters(str(tmp_path / 'published.params'))
    monkeypatch.setattr('resnest.gluon.models.weights.store.model_file',
                        lambda spec, root: str(tmp_path / 'published.params'))
    result = run_here(train.main, 'train_pose.py', '--data-dir', run[0], '--model-options', *SMALL, '--no-cuda',
                      '--num-epochs', 1, '--batch-size', 4, '--lr', 0, '--pretrained-backbone', '--save-dir',
                      tmp_path / 'run')
    assert result.returncode == 0, result.stderr
    assert 'they are those of the backbone, the rest is new' in result.stdout
    net = get_model(str(tmp_path / 'run/best.params'))
    np.testing.assert_array_equal(net.conv1[0].weight.data().asnumpy(), classifier.conv1[0].weight.data().asnumpy())


@pytest.mark.parametrize('words, wanted', [
    (['--data-dir', 'nowhere'], ['nowhere']), (['--model', 'simple_pose_resnest5'], ['simple_pose_resnest50']),
    (['--batch-size', 99], ['training']), (['--model-options', 'height=70'], ['height must be a multiple of 32']),
    (['--pretrained', '--batch-size', 4], ['no weights are published']), (['--lr-schedule', 'x'], ['--lr-schedule']),
    (['--model-options', 'joints=9'], ['joints=9', 'has 4 joints'])])
def test_what_cannot_be_trained(run, tmp_path, words, wanted):
    assert_refused(run_here(train.main, 'train_pose.py', '--data-dir', run[0], '--no-cuda', '--save-dir',
                            tmp_path / 'run', '--num-epochs', 1, *words), *wanted)
    assert not (tmp_path / 'run').exists()


def test_other_joints_are_refused(run, tmp_path):
    data, folder, _ = run
    path = data / 'annotations/person_keypoints_val.json'
    found = json.loads(path.read_text())
    found['categories'][0]['keypoints'] = ['a', 'b', 'c', 'd']
    (tmp_path / 'other.json').write_text(json.dumps(found))
    with pytest.raises(InputError, match='^[^\n]*know other joints[^\n]*$'):
        verify_pose(['--annotations', str(tmp_path / 'other.json'), '--images', str(data / 'val'), '--no-cuda',
                     '--resume', str(folder / 'best.params')])
    with pytest.raises(InputError, match='tell by themselves'):
        verify_pose(['--data-dir', str(data), '--resume', str(folder / 'best.params'), '--model-options', 'joints=3',
                     '--no-cuda'])


def test_joints_in_pictures(run, tmp_path, monkeypatch):
    """The whole picture, or boxes of a file: the joints are those that the network tells of that crop."""
    data, folder, _ = run
    picture, weights = str(data / 'val/000000.png'), str(folder / 'best.params')
    boxes = {'pictures': [{'file': picture, 'objects': [{'score': 0.9, 'box': [20, 30, 90, 120]},
                                                        {'score': 0.1, 'box': [0, 0, 9, 9]}]}]}
    (tmp_path / 'boxes.json').write_text(json.dumps(boxes))
    common = [picture, '--resume', weights, '--no-cuda', '--json', str(tmp_path / 'found.json')]
    pose([*common, '--boxes', str(tmp_path / 'boxes.json'), '--no-flip', '--pictures', str(tmp_path / 'drawn')])
    person, = json.loads((tmp_path / 'found.json').read_text())['pictures'][0]['people']
    pixels = np.asarray(Image.open(picture))
    net = get_model(weights)
    crop, placed = Plain(net.spec)(pixels, [20, 30, 70, 90])
    points, scores = estimate(with_normalization(net), crop[None], mx.cpu())
    assert [[each['x'], each['y']] for each in person['keypoints']] == [
        pytest.approx(point, abs=0.02) for point in moved(placed, points[0]).tolist()]
    assert [each['name'] for each in person['keypoints']] == ['top', 'right', 'bottom', 'left']
    drawn, = (tmp_path / 'drawn').rglob('*.png')
    assert np.asarray(Image.open(drawn)).shape == pixels.shape
    pose(common)
    person, = json.loads((tmp_path / 'found.json').read_text())['pictures'][0]['people']
    assert person['box'] == [0, 0, *pixels.shape[1::-1]]
    other, found = str(data / 'val/000001.png'), boxes['pictures'][0]
    named = {**found, 'objects': [{'name': name, 'box': [20, 30, 90 + shift, 120]}
                                  for shift, name in enumerate(('car', 'person', 'dog'))]}
    (tmp_path / 'boxes.json').write_text(json.dumps({'pictures': [named]}))
    monkeypatch.chdir(data)     # where the same picture has another name
    with pytest.raises(InputError, match='^[^\n]*000001.png: [^\n]*boxes.json tells nothing of this picture[^\n]*$'):
        pose(['val/000000.png', other, *common[1:], '--boxes', str(tmp_path / 'boxes.json'),
              '--names', 'person', 'dog'])
    found = json.loads((tmp_path / 'found.json').read_text())
    assert [each['box'][2] for each in found['pictures'][0]['people']] == [91, 92]
    for changed, told in (({'size': [9, 9]}, r'tells that it has \[9, 9\]'),
                          ({'objects': [{'box': [3000, 0, 3050, 9]}]}, 'of a box .* outside of it')):
        (tmp_path / 'boxes.json').write_text(json.dumps({'pictures': [{**named, **changed}]}))
        with pytest.raises(InputError, match=f'^[^\n]*000000.png: of [^\n]*{told}[^\n]*$'):
            pose([*common, '--boxes', str(tmp_path / 'boxes.json')])
    with pytest.raises(InputError, match='give --boxes'):
        pose([*common, '--names', 'person'])
    (tmp_path / 'boxes.json').write_text('{"pictures": [{"file": "a", "objects": [{"box": [3, 2, 1]}]}]}')
    with pytest.raises(InputError, match='^[^\n]*boxes.json: no boxes of pictures[^\n]*$'):
        pose([*common, '--boxes', str(tmp_path / 'boxes.json')])


def test_exported_files_and_other_precisions_verify_as_the_weights(run, tmp_path):
    """As ONNX, and optimized: with the joints' names, at the size of the crops; bfloat16 and int8 on the way."""
    data, folder, _ = run
    words = ['--resume', folder / 'best.params']
    for more in (['--output', tmp_path / 'x.onnx'], ['--format', 'symbol', '--output', tmp_path / 'x']):
        result = run_here(export.main, 'export.py', *words, *more)
        assert result.returncode == 0, result.stderr
    found = []
    for number, given in enumerate((words, ['--resume', tmp_path / 'x'],
                                    ['--engine', 'onnxruntime', tmp_path / 'x.onnx'],
                                    [*words, '--precision', 'bfloat16'],
                                    [*words, '--precision', 'int8', '--calibration-images', 4])):
        result = run_here(verify.main, 'verify_pose.py', '--data-dir', data, '--no-cuda', *given, '--json',
                          tmp_path / f'{number}.json')
        assert result.returncode == 0, result.stderr
        found.append(json.loads((tmp_path / f'{number}.json').read_text()))
    assert [(each['engine'], each['precision']) for each in found] == [
        ('gluon', 'float32'), ('gluon', 'float32'), ('onnxruntime', 'float32'), ('gluon', 'bfloat16'),
        ('gluon', 'int8')]
    for each in found[1:3]:
        assert each['plain'] == pytest.approx(found[0]['plain'])
        assert each['mirrored'] == pytest.approx(found[0]['mirrored'])
    pose([str(data / 'val/000000.png'), '--resume', str(tmp_path / 'x.onnx'), '--json', str(tmp_path / 'told.json')])
    person, = json.loads((tmp_path / 'told.json').read_text())['pictures'][0]['people']
    assert [each['name'] for each in person['keypoints']] == ['top', 'right', 'bottom', 'left']
    for given, wanted in ((['--resume', tmp_path / 'x.onnx', '--precision', 'int8'], 'leave out --precision'),
                          (['--resume', tmp_path / 'x', '--model-options', 'joints=4'], 'leave out joints')):
        assert_refused(run_here(verify.main, 'verify_pose.py', '--data-dir', data, *given), wanted)
    assert_refused(run_here(export.main, 'export.py', *words, '--image-size', 50), '--image-size must be a multiple')
    assert_refused(run_here(classify.main, 'classify.py', data / 'val/000000.png', '--resume', tmp_path / 'x'), 'pose')


def test_skeletons_have_their_lines():
    """A line between two joints that are sure, none to one that is not."""
    joints = Joints(('a', 'b', 'c'), ((0, 1), (1, 2)))
    image = np.asarray(draw(np.zeros((60, 80, 3), np.uint8), [([[10, 10], [50, 10], [50, 50]], [0.9, 0.9, 0.1])],
                            joints))
    assert image[10, 30].any()
    assert not image[30, 50].any()
    assert not image[50, 50].any()
