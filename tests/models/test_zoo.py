"""Making networks by name, and loading weights into them."""
import ast
import hashlib
import inspect
import shutil
import sys
from pathlib import Path
from typing import get_args

import mxnet as mx
import numpy as np
import pytest

import resnest
from resnest import gluon
from resnest.errors import InputError
from resnest.gluon import get_model, list_models, models
from resnest.gluon.models import variants, zoo
from resnest.gluon.models.signatures import ALIASES, Classifier, NetworkOptions
from resnest.gluon.models.weights import store

from ..conftest import command, randomize, relative_error


def test_one_function_a_name():
    for name in list_models():
        assert getattr(gluon, name).__name__ == name
        assert name in gluon.__all__
    net = gluon.resnest50_fast_4s2x40d(classes=3)
    assert net.spec == variants.VARIANTS['resnest50_fast_4s2x40d']
    assert net.fc.weight.shape == (3, 2048)


@pytest.mark.parametrize('name', list_models())
def test_editors_see_each_function_and_its_keywords(name):
    """In the source, as a line of its own, and in the signature, with the values of the row."""
    for module in (zoo, models, gluon):
        names = [node.targets[0].id for node in ast.parse(inspect.getsource(module)).body
                 if isinstance(node, ast.Assign)] if module is zoo else explicit_names(module)
        assert name in names
    found = inspect.signature(getattr(gluon, name)).parameters
    spec, defaults = variants.VARIANTS[name], inspect.signature(models.ResNet).parameters
    wanted = {**{key: getattr(spec, key) for key in variants.option_names()},
              **{key: defaults[key].default for key in defaults if key not in ('spec', 'kwargs')},
              **{key: each.default for key, each in inspect.signature(models.get_model).parameters.items()
                 if key not in ('name', 'kwargs')}, 'prefix': None, 'params': None}
    assert {key: each.default for key, each in found.items()} == wanted
    assert {*NetworkOptions.__annotations__} - {*ALIASES} == \
        {*wanted} - {'pretrained', 'root', 'ctx', 'features_only', 'out_indices'}
    assert {*ALIASES.values()} < {*wanted}
    assert list(get_args(Classifier)) == list_models()
    assert (Path(resnest.__file__).parent / 'py.typed').exists()


def explicit_names(module):
    """The names that a module imports one by one and lists in ``__all__``."""
    body = ast.parse(inspect.getsource(module)).body
    imported = {alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
    listed, = (ast.literal_eval(node.value) for node in body
               if isinstance(node, ast.Assign) and node.targets[0].id == '__all__')
    assert sorted(listed) == sorted(set(module.__all__))
    return imported & set(listed)


def test_what_takes_long_to_import_waits_until_it_is_asked_for():
    code = """
import sys
from resnest import gluon
def loaded():
    return [name for name in ('resnest.gluon.data', 'resnest.gluon.inference', 'resnest.gluon.tasks',
                              'resnest.gluon.training', 'PIL.Image', 'onnxruntime') if name in sys.modules]
assert not loaded(), loaded()
assert {'Predictor', 'create_transform', 'get_model'} < {*dir(gluon)}
from resnest.gluon import create_transform
assert loaded() == ['resnest.gluon.data', 'PIL.Image'], loaded()
from resnest.gluon import Predictor
from resnest.gluon.tasks import classification
assert Predictor is classification.Predictor and create_transform is gluon.data.create_transform
assert not hasattr(gluon, 'predictor')
"""
    done = command(sys.executable, '-c', code)
    assert done.returncode == 0, done.stderr


def test_names_of_timm():
    net = gluon.resnest14(num_classes=3, in_chans=1)
    assert (net.fc.weight.shape, net.conv1[0].weight.shape) == ((3, 2048), (32, 1, 3, 3))
    with pytest.raises(InputError, match="a network has no 'radx'; did you mean 'radix'"):
        gluon.resnest14(radx=4)


def test_list_models_by_pattern():
    assert list_models('*fast_1s*') == ['resnest50_fast_1s1x64d', 'resnest50_fast_1s2x40d', 'resnest50_fast_1s4x24d']
    assert list_models('resnest?') == []


@pytest.mark.parametrize('wrong, right', [('resnest51', 'resnest50'), ('ResNeSt101', 'resnest101'),
                                          ('resnest50_fast_2s2x64d', 'resnest50_fast_2s')])
def test_unknown_name_suggests_the_nearest(wrong, right):
    with pytest.raises(InputError, match=f"'{wrong}'; did you mean '{right}"):
        get_model(wrong)


def test_any_field_can_be_overridden():
    net = get_model('resnest101', radix=4, stem_width=16, blocks=(1, 2, 1, 1), crop_size=100)
    assert (net.spec.radix, net.spec.crop_size, len(net.layer2)) == (4, 100, 2)
    assert net.conv1[0].weight.shape == (16, 3, 3, 3)


@pytest.mark.parametrize('settings', [dict(dilation=3), dict(classes=-1), dict(in_channels=0)])
def test_values_out_of_range(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        get_model('resnest14', **settings)


@pytest.mark.parametrize('wrong, right', [('radx', 'radix'), ('clases', 'classes'), ('lastgamma', 'last_gamma'),
                                          ('top1', None), ('a\nb', None), ('', None)])
def test_an_unknown_keyword_suggests_the_nearest(wrong, right):
    wanted = f"did you mean '{right}" if right else 'there are classes, .* radix, '
    with pytest.raises(InputError, match=f"^a network has no '.*'; {wanted}"):
        get_model('resnest14', **{wrong: 2})


@pytest.mark.parametrize('settings, wanted', [
    (dict(radix='two'), "radix of a network is a whole number, got 'two'"),
    (dict(blocks=5), 'blocks of a network is a list of whole numbers, got 5'),
    (dict(classes='ten'), "classes must be a whole number of at least 0 and at most 10000000, got 'ten'"),
    (dict(classes=True), 'got True'), (dict(classes=2 ** 70), 'got 118059'),
    (dict(in_channels=1.5), 'in_channels must be a whole number'), (dict(dilation=[2]), 'dilation must be 1, 2 or 4'),
    (dict(last_gamma='no'), 'last_gamma must be True or False'),
    (dict(dropblock_prob=1), 'dropblock_prob must be in'), (dict(dropblock_prob=float('nan')), 'dropblock_prob must'),
    (dict(norm_layer='BatchNorm'), 'norm_layer must be a class'), (dict(norm_kwargs=[1]), 'norm_kwargs a dict'),
    (dict(norm_kwargs={'epsilonn': 1}), 'norm_layer does not take norm_kwargs: .*epsilonn'),
    (dict(features_only=True, out_indices=3), 'out_indices must be ascending numbers'),
    (dict(features_only=True, out_indices=['1']), 'out_indices must be ascending numbers'),
    (dict(features_only=4), 'features_only must be True or False, got 4'),
    (dict(features_only=True, out_indices=4), 'out_indices must be ascending numbers'),
    (dict(radix='4'), "radix of a network is a whole number, got '4'"), (dict(ctx='cpu'), 'ctx must be a Context'),
    (dict(num_classes=3, classes=3), 'num_classes and classes are the same: give one of them'),
    (dict(in_chans=3, in_channels=1), 'in_chans and in_channels are the same'),
    (dict(num_classes='ten'), "classes must be a whole number of at least 0 and at most 10000000, got 'ten'"),
    (dict(prefix=3), 'prefix must be a str, got 3'), (dict(params={}), 'params must be a ParameterDict, got {}'),
    (dict(pretrained=5), 'pretrained must be True, False or the path'),
    (dict(radix=3), 'resnest14: 64 input and 64 output channels cannot be divided into radix 3'),
    (dict(cardinality=3, bottleneck_width=16), 'resnest14: 32 channels between the fully connected layers cannot be'),
    (dict(name=5), "no model '5'"), (dict(name=None), "no model 'None'"),
    (dict(name=['a']), 'resnest models lists all'),
    (dict(name='resnest50', pretrained=True, radix=4), 'no weights are published for resnest50 with other values'),
    (dict(name='resnest50', pretrained=True, root=5), 'root must be the path of a folder, got 5'),
    (dict(name='resnest50', pretrained=True, root='a\0b'), 'root must be the path of a folder')])
def test_values_of_another_type_or_that_do_not_fit(settings, wanted):
    with pytest.raises(InputError, match=wanted) as caught:
        get_model(**{'name': 'resnest14', **settings})
    assert '\n' not in str(caught.value)


def test_what_is_published_of_another_network():
    """Is not claimed of the one that was made."""
    spec = get_model('resnest50', radix=4).spec
    assert (spec.sha1, spec.top1, spec.file, spec.radix, spec.crop_size) == (None, None, None, 4, 224)
    assert get_model('resnest50', final_drop=0.2, classes=7).spec.file == 'resnest50-bcfefe1d'


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """A file of resnest14 for five classes, and the logits that its network gives."""
    path = tmp_path_factory.mktemp('weights') / 'five.params'
    net = randomize(get_model('resnest14', classes=5))
    net.save_parameters(str(path))
    return path, net(mx.nd.ones((1, 3, 32, 32))).asnumpy()


def test_a_file_loads_by_path(weights):
    path, wanted = weights
    net = get_model('resnest14', classes=5, pretrained=str(path))
    np.testing.assert_array_equal(net(mx.nd.ones((1, 3, 32, 32))).asnumpy(), wanted)


def test_a_file_of_other_classes(weights):
    with pytest.raises(InputError, match=r'five.params.*made for 5 classes'):
        get_model('resnest14', classes=6, pretrained=weights[0])


@pytest.mark.parametrize('ctx', ['cpu', 0, [], [mx.cpu(), 'gpu']])
def test_what_is_no_context(weights, ctx):
    with pytest.raises(InputError, match='ctx must be a Context'):
        get_model('resnest14', classes=5, pretrained=weights[0], ctx=ctx)


def test_a_file_of_another_network(weights):
    with pytest.raises(InputError, match='it lacks layer1.1.conv1.weight'):
        get_model('resnest26', classes=5, pretrained=weights[0])


def test_weights_that_were_copied_without_their_description(weights, tmp_path):
    """The message names the network that was tried, and what would have told the right one."""
    path = tmp_path / 'best.params'
    shutil.copy(weights[0], path)
    message = r'best.params: not of this network, resnest26: it lacks .*; no best.json beside it .* --model$'
    for classes in (5, 6):
        with pytest.raises(InputError, match=message):
            get_model('resnest26', classes=classes, pretrained=path)
    with pytest.raises(InputError, match='made for 5 classes; for others, its .*reset_classifier'):
        get_model('resnest14', classes=6, pretrained=path)
    (tmp_path / 'best.json').write_text('{}')
    with pytest.raises(InputError, match=r'resnest26: it lacks [^;]*$'):
        get_model('resnest26', classes=5, pretrained=path)


@pytest.mark.parametrize('damage', [lambda data: data[:len(data) // 2], lambda data: b'<!DOCTYPE html><html></html>',
                                    lambda data: b''])
def test_a_damaged_file(weights, damage, tmp_path):
    path = tmp_path / 'damaged.params'
    path.write_bytes(damage(weights[0].read_bytes()))
    with pytest.raises(InputError, match='damaged.params: not a parameter file, or a truncated one'):
        get_model('resnest14', classes=5, pretrained=path)


def test_a_file_of_pytorch_needs_converting(weights, tmp_path):
    path = tmp_path / 'model.safetensors'
    path.write_bytes(b'0' * 100)
    with pytest.raises(InputError, match=r'model.safetensors: not a parameter file.*resnest convert'):
        get_model('resnest14', classes=5, pretrained=path)


def test_a_half_precision_file_is_cast(weights, tmp_path):
    half = {name: array.astype('float16') for name, array in mx.nd.load(str(weights[0])).items()}
    mx.nd.save(str(tmp_path / 'half.params'), half)
    net = get_model('resnest14', classes=5, pretrained=tmp_path / 'half.params')
    assert net.fc.weight.data().dtype == np.float32
    assert relative_error(net(mx.nd.ones((1, 3, 32, 32))).asnumpy(), weights[1]) < 1e-2


def test_no_weights_are_published_for_some():
    with pytest.raises(InputError, match='no weights are published for skresnet50'):
        get_model('skresnet50', pretrained=True)


def test_published_weights_are_found_in_the_root(weights, tmp_path, monkeypatch):
    path, wanted = weights
    sha1 = hashlib.sha1(path.read_bytes()).hexdigest()
    spec = variants.VariantSpec('resnest14', (1, 1, 1, 1), sha1=sha1)
    monkeypatch.setitem(variants.VARIANTS, 'resnest14', spec)
    monkeypatch.setattr(store, 'download_until', lambda *args, **kwargs: pytest.fail('it is there already'))
    (tmp_path / f'resnest14-{sha1[:8]}.params').write_bytes(path.read_bytes())
    net = get_model('resnest14', classes=5, pretrained=True, root=tmp_path)
    np.testing.assert_array_equal(net(mx.nd.ones((1, 3, 32, 32))).asnumpy(), wanted)


def test_offline_names_what_is_wanted_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(store, 'URL', 'http://127.0.0.1:9/{file}.zip')
    with pytest.raises(InputError, match=r'resnest50-bcfefe1d\.params from http://127.0.0.1:9/resnest50-bcfefe1d\.zip'):
        get_model('resnest50', pretrained=True, root=tmp_path)
    assert not list(tmp_path.iterdir())
