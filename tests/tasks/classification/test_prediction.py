"""Naming pictures: the function against the network run by hand, on all kinds of pictures."""
import dataclasses
import inspect
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon import get_model, list_models
from resnest.gluon.data import create_transform
from resnest.gluon.inference import optimize
from resnest.gluon.inference.export.onnx_files import export_onnx
from resnest.gluon.models import ResNet
from resnest.gluon.models.weights.description import describe, write_description
from resnest.gluon.tasks.classification import Guess, Prediction, Predictor, explain, format_table, train
from resnest.gluon.tasks.classification.evaluation import softmax
from resnest.reading import read_yaml

from ...conftest import TINY, randomize
from .conftest import NAMES, by_hand


@pytest.fixture(scope='module')
def net():
    return randomize(ResNet(TINY, classes=6))


def predictor(net, **settings):
    return Predictor(net, classes=NAMES, crop_size=32, crop_ratio=1, ctx=mx.cpu(), **settings)


@pytest.mark.parametrize('batch_size, workers', [(1, 1), (3, 2), (16, 4)])
def test_equals_the_network_by_hand(net, photos, batch_size, workers):
    folder, pixels = photos
    done, problems = [], []
    files = sorted(folder.iterdir())
    results = list(predictor(net, batch_size=batch_size, workers=workers).each(files, 9, problems.append, done.append))
    assert sum(done) == 7
    assert [result.path for result in results] == [str(file) for file in files[:5]]
    assert [str(problem).split(': ')[0] for problem in problems] == [str(file) for file in files[5:]]
    for result, wanted in zip(results, by_hand(net, pixels)):
        found = [guess.probability for guess in result.guesses]
        assert found == sorted(found, reverse=True)
        assert sum(found) == pytest.approx(1)
        assert len(found) == 6
        assert (result.name, result.label, result.probability) == (*result.guesses[0][1::-1], found[0])
        for guess in result.guesses:
            assert guess.name == NAMES[guess.label]
            # A crop that is turned after its resampling may differ by a grey level.
            most = 5e-4 if 'turned' in result.path else 1e-4
            assert guess.probability == pytest.approx(wanted[guess.label], abs=most)


def test_paths_images_and_arrays_are_the_same_picture(net, photos):
    folder, pixels = photos
    predict = predictor(net)
    path = folder / '1 turned.png'
    wanted = predict.probabilities(path)
    assert wanted.shape == (1, 6)
    with Image.open(path) as image:
        kinds = [str(path), image, np.asarray(image.transpose(Image.ROTATE_270)), mx.nd.array(pixels[1], dtype='uint8')]
        for one, each in zip(kinds, (1e-12, 1e-12, 5e-4, 5e-4)):
            assert predict.probabilities(one) == pytest.approx(wanted, abs=each)
        assert predict.probabilities(kinds).shape == (4, 6)
    assert predict(path).name == predict([path])[0].name
    assert predict(path).path == str(path)
    assert predict(pixels[1]).path is None
    assert predict([]) == []
    grey = folder / '4 grey.png'
    assert predict.probabilities(np.asarray(Image.open(grey))) == pytest.approx(predict.probabilities(grey))


def test_a_folder_stands_for_its_pictures(net, photos, tmp_path):
    for name in ('0.png', '2 alpha.png'):
        (tmp_path / name).write_bytes((photos[0] / name).read_bytes())
    assert [Path(found.path).name for found in predictor(net)(tmp_path)] == ['0.png', '2 alpha.png']


@pytest.mark.parametrize('picture, wanted', [
    (np.zeros((4, 4, 3)), 'an array that is a picture is uint8'), (np.zeros((0, 4), np.uint8), 'uint8, .height, width'),
    (3, 'a picture is a path, a PIL image or an array, got int'), ('no.png', 'no.png: No such file')])
def test_what_is_no_picture(net, picture, wanted):
    with pytest.raises(InputError, match=wanted):
        predictor(net)(picture)


def test_a_damaged_image_that_somebody_opened(net, photos):
    with Image.open(photos[0] / '6 cut.png') as image, pytest.raises(InputError, match='the PngImageFile: not a read'):
        predictor(net)(image)


def test_the_transform_of_a_network(net, photos):
    """What ``create_transform`` makes goes into the network as it is."""
    transform = create_transform(net, size=32, ratio=1)
    x = transform(photos[0] / '0.png')
    assert (x.shape, x.dtype) == ((3, 32, 32), np.float32)
    logits = net(x.expand_dims(0)).asnumpy()
    assert softmax(logits) == pytest.approx(predictor(net).probabilities(photos[0] / '0.png'), abs=1e-6)
    own = create_transform(net)
    assert own.crop.size == net.spec.crop_size
    with pytest.raises(InputError, match='5 text.jpg: not a readable image'):
        own(photos[0] / '5 text.jpg')


def test_from_described_weights_in_any_precision(tmp_path, photos):
    """The weights say all; optimized and exported, they give the same classes."""
    net = randomize(get_model('resnest14', classes=6, bottleneck_width=8, stem_width=8, crop_size=32, crop_ratio=1.0))
    path = tmp_path / 'best.params'
    net.save_parameters(str(path))
    write_description(path, dataclasses.replace(describe(net), names=NAMES))
    files = sorted(photos[0].iterdir())[:5]
    plain = Predictor(path, ctx=mx.cpu())
    assert plain.names == NAMES
    wanted = plain.probabilities(files)
    assert wanted == pytest.approx(predictor(net).probabilities(files), abs=1e-6)
    fast = Predictor(path, 'float32', batch_size=2)
    assert fast.probabilities(files) == pytest.approx(wanted, abs=1e-5)
    int8 = Predictor(path, 'int8', calibration=files)
    assert int8.probabilities(files) == pytest.approx(wanted, abs=0.2)
    export_onnx(plain.network, tmp_path / 'net.onnx', 32)
    exported = Predictor(tmp_path / 'net.onnx')
    assert exported.probabilities(files) == pytest.approx(wanted, abs=1e-5)
    assert (exported.names, exported(files[0]).name) == (NAMES, plain(files[0]).name)
    optimize(plain.network, mx.nd.zeros((2, 3, 32, 32))).export(str(tmp_path / 'fast'))
    loaded = Predictor(tmp_path / 'fast')
    assert loaded.probabilities(files) == pytest.approx(wanted, abs=1e-5)
    assert loaded.names == NAMES
    with pytest.raises(InputError, match='no layers to look into'):
        exported.explain(files)
    with pytest.raises(InputError, match='exported, and so in the precision'):
        Predictor(tmp_path / 'net.onnx', 'int8', calibration=files)


def test_iterables_are_not_held_and_folders_in_them_are_opened(net, photos, tmp_path):
    folder, pixels = photos
    predict, taken = predictor(net, batch_size=2), []

    def endless():
        while True:
            taken.append(0)
            yield pixels[0]

    found = predict.each(endless())
    assert [next(found).label for _ in range(2)] == [predict(pixels[0]).label] * 2
    assert len(taken) == 4                          # a batch, and the one that is decoded meanwhile
    assert predict.draw(endless(), tmp_path / 'a.png') == 8
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/1.png').write_bytes((folder / '0.png').read_bytes())
    alone, inside = predict(path for path in (folder / '0.png', tmp_path / 'in'))
    assert (alone.probability, inside.path) == (inside.probability, str(tmp_path / 'in/1.png'))


@pytest.mark.parametrize('settings, wanted', [
    ({'source': None}, 'got None'),
    ({'source': 3}, 'must be a network, the name of a model or the path of weights'),
    ({'batch_size': '16'}, "the batch size must be a whole number of at least 1, got '16'"),
    ({'workers': 0}, 'workers must be a whole number of at least 1'),
    ({'crop_size': '32'}, "crop size must .* got '32'"),
    ({'crop_size': 33.5}, 'crop size must .* got 33.5'),
    ({'crop_size': 8}, '^the crop size must be .* at least 17'),
    ({'crop_ratio': 'a'}, "crop ratio must be above 0 and at most 1, got 'a'"),
    ({'classes': 4}, 'classes must .* got 4'),
    ({'classes': ['a']}, '1 names, but the network has 6 classes'),
    ({'ctx': 'cpu'}, "ctx must be a Context, .* 'cpu'"),
    ({'ctx': mx.gpu(99)}, r'gpu\(99\): MXNet finds no such GPU'),
    ({'precision': 'float16'}, 'precision must be one of'),
    ({'precision': 'int8'}, "calibration='folder'"),
    ({'calibration': []}, "calibration is for precision='int8' alone"),
    ({'options': {'radix': 1}}, 'options is for weights .* and a network does'),
    ({'model': 'resnest14'}, 'model is for'),
    ({'source': 'resnest14', 'model': 'resnest14'}, 'and the name of a model does'),
    ({'source': 'a.onnx', 'options': {'radix': 1}}, 'options is for .* an exported file does')])
def test_what_the_constructor_refuses(net, settings, wanted):
    with pytest.raises(InputError, match=wanted):
        Predictor(**{'source': net, 'ctx': mx.cpu(), **settings})


def test_other_functions_refuse_other_types_in_one_line():
    for call, wanted in ((lambda: optimize(None, mx.nd.zeros(1)), 'the network must be a HybridBlock, got None'),
                         (lambda: list_models(3), 'the pattern must be a text, got 3'),
                         (lambda: train({'model': 'resnest14'}), 'the recipe must be a ClassificationConfig, got {')):
        with pytest.raises(InputError, match=wanted):
            call()


def test_what_the_weights_of_a_run_are_not(tmp_path):
    """Their folder, and weights of other classes: both errors name the way."""
    path = tmp_path / 'best.params'
    net = randomize(get_model('resnest14', classes=6, bottleneck_width=8, stem_width=8))
    net.save_parameters(str(path))
    write_description(path, describe(net))
    with pytest.raises(InputError, match=f'{tmp_path}: a folder; give a file of weights, such as {path}'):
        Predictor(str(tmp_path))
    with pytest.raises(InputError, match="6 classes; for others, its network's reset_classifier makes a new"):
        get_model(path, classes=7)
    with pytest.raises(InputError, match=f'{tmp_path}: Is a directory; give a file'):
        read_yaml(tmp_path)


def test_an_exported_backbone_is_no_classifier(tmp_path):
    backbone = randomize(get_model('resnest14', features_only=True, bottleneck_width=8, stem_width=8))
    optimize(backbone, mx.nd.zeros((1, 3, 32, 32))).export(str(tmp_path / 'fast'))
    with pytest.raises(InputError, match='several outputs, as a backbone does; a classifier is wanted'):
        Predictor(tmp_path / 'fast')


@pytest.mark.parametrize('labels, stage, wanted', [
    ([99, 0], None, 'a label must be .* at least 0 and at most 5, got 99'), ([1.5, 0], None, 'a label must be'),
    (1, None, 'labels must be a list with a class for each of the 2 pictures, got 1'), ([1], None, 'of the 2 pictures'),
    ([1, 2, 3], None, 'of the 2 pictures'), (None, 9, 'stage must be one of 1, 2, 3, 4, got 9'),
    (None, 'layer3', "stage must be .* got 'layer3'"), (None, True, 'stage must be')])
def test_explanations_that_there_are_not(net, photos, labels, stage, wanted):
    with pytest.raises(InputError, match=wanted):
        predictor(net).explain(list(photos[1][:2]), labels, stage)


def test_nothing_to_explain_or_to_draw(net, photos, tmp_path):
    assert predictor(net).explain([]) == []
    with pytest.raises(InputError, match='there is no picture to draw'):
        predictor(net).draw([], tmp_path / 'a.png')
    with pytest.raises(InputError, match='a.xyz: the ending must be one of .png'):
        predictor(net).draw(photos[1][0], tmp_path / 'a.xyz')
    assert list(tmp_path.iterdir()) == []


def test_type_checkers_are_told_all():
    """Of each method and its parameters but ``__call__``, whose overloads are for them alone, and of the results."""
    for function in (create_transform, Predictor.__init__, Predictor.each, Predictor.explain, Predictor.draw,
                     Predictor.probabilities, Prediction.name.fget, Prediction.label.fget, Prediction.probability.fget):
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty, function
        untold = [name for name, each in signature.parameters.items() if each.annotation is each.empty]
        assert untold in ([], ['self']), function
    assert Prediction.__annotations__['guesses'] == list[Guess]


@pytest.mark.parametrize('source', ['resnest50', None])
def test_a_transform_of_no_network(source):
    with pytest.raises(InputError, match='made for a network with a spec, as get_model makes it, got'):
        create_transform(source)


def test_top_k(net, photos):
    path = sorted(photos[0].iterdir())[0]
    found = predictor(net)(path, top_k=2)
    assert len(found.guesses) == 2
    text = format_table([found]).splitlines()
    assert text[0] == str(path)
    assert text[1].split() == [f'{100 * found.probability:.2f}', '%', found.name]
    for wrong in (0, '2'):
        with pytest.raises(InputError, match='top-k must be a whole number of at least 1'):
            predictor(net)(path, top_k=wrong)


def test_weights_that_give_no_numbers(photos):
    broken = randomize(ResNet(TINY, classes=6))
    broken.fc.bias.set_data(mx.nd.full(6, np.nan))
    with pytest.raises(InputError, match='not finite'):
        predictor(broken)(photos[0] / '0.png')


def test_explanations_are_those_of_the_network(net, photos):
    files = sorted(photos[0].iterdir())[:3]
    predict = predictor(net, batch_size=2)
    found = predict.explain(files, labels=[1, 2, 3])
    x = mx.nd.stack(*map(create_transform(net, 32, 1), files))
    for ours, wanted in zip(found, explain(net, x, [1, 2, 3])):
        assert ours.label == wanted.label
        assert ours.cam == pytest.approx(wanted.cam, abs=1e-4)


@pytest.mark.parametrize('changes', [dict(), dict(radix=1), dict(radix=0), dict(radix=4)])
def test_the_figure(changes, photos, tmp_path):
    net = randomize(ResNet(dataclasses.replace(TINY, **changes), classes=6))
    files = sorted(photos[0].iterdir())[:2]
    long = ['a name that is so long that it would run into the chart'] * 6
    assert Predictor(net, classes=long, crop_size=48, ctx=mx.cpu()).draw(files, tmp_path / 'a.png') == 2
    with Image.open(tmp_path / 'a.png') as image:
        width, height = image.size
        assert width > (1500 if changes != dict(radix=0) else 800)
        assert height > 800
        assert len(np.unique(np.asarray(image.convert('L')))) > 100
    assert Predictor(net, classes=long, crop_size=17, ctx=mx.cpu()).draw(files * 5, tmp_path / 'a.png') == 8
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']
