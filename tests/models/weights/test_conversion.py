"""Converting weights: the files, the names, and the logits that timm's own networks gave."""
import io
import json
import pickle
import re
import struct
import zipfile

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model, list_models
from resnest.gluon.models import VARIANTS
from resnest.gluon.models.variants import TIMM
from resnest.gluon.models.weights.conversion import convert, described, to_gluon, to_pytorch
from resnest.gluon.models.weights.description import Description, write_description
from resnest.gluon.models.weights.params_file import BFLOAT16
from resnest.gluon.models.weights.tensor_files import read_tensors, safetensors_bytes

from ...conftest import ROOT, assert_refused, randomize, relative_error, script, script_here
from .timm_weights import image, weights

EXPECTED = ROOT / 'tests/expected'
WEIGHTS_PAGE = (ROOT / 'docs/weights.md').read_text()
TIMM_LOGITS = np.load(EXPECTED / 'timm_logits.npz')
TIMM_MODELS = [key[:-len('/names')] for key in TIMM_LOGITS.files if key.endswith('/names')]
LARGE = {'resnest101', 'resnest200', 'resnest269'}
ALL = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in list_models('resnest*')]


def timm_shapes(model):
    return {name: tuple(shape) for name, shape in json.loads(str(TIMM_LOGITS[f'{model}/names'])).items()}


def pth(arrays, wrong=b''):
    """What torch.save makes of a state dict of float32 arrays: opcodes of a pickle, and a zip around it."""
    def text(value):
        return b'X' + struct.pack('<I', len(value.encode())) + value.encode()

    def integers(*values):
        return b'(' + b''.join(b'J' + struct.pack('<i', value) for value in values) + b't'

    empty = b'ccollections\nOrderedDict\n)R'
    pickled = b'\x80\x02' + wrong + empty + b'('
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for key, (name, array) in enumerate(arrays.items()):
            strides = [stride // array.itemsize for stride in array.strides]
            pickled += (text(name) + b'ctorch._utils\n_rebuild_tensor_v2\n((' + text('storage') +
                        b'ctorch\nFloatStorage\n' + text(str(key)) + text('cpu') + integers(array.size)[1:-1] + b'tQ' +
                        integers(0)[1:-1] + integers(*array.shape) + integers(*strides) + b'\x89' + empty + b'tR')
            archive.writestr(f'weights/data/{key}', array.tobytes())
        archive.writestr('weights/data.pkl', pickled + b'u.')
    return buffer.getvalue()


@pytest.mark.parametrize('name', ['tensors.pth', 'tensors_legacy.pth'])
def test_files_written_by_torch(name):
    """Written by torch 2.13, with and without its zip format: strides, types, wrapping."""
    found = read_tensors(EXPECTED / name)
    base = np.arange(24, dtype='f4').reshape(4, 6) / 8
    wanted = {'plain': base, 'transposed': base.T, 'part': base[1:3, ::2],
              'expanded': np.float32([[2.5, 2.5, 2.5], [3.5, 3.5, 3.5]]),
              'half': np.float16([1.5, -0.25, 65504, 6e-8]),
              'bfloat16': np.float32([1, -3.140625, 1.578125 * 2.0 ** 99]),
              'double': np.array([[1 / 3]]), 'long': np.array(2 ** 40), 'parameter': np.float32([1, 2]),
              'bool': np.array([True, False]), 'empty': np.zeros((0, 3), 'f4')}
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(found[key], value)


def test_safetensors_of_every_type(tmp_path):
    """Against the safetensors package; bfloat16, which NumPy has not, by its definition."""
    save_file = pytest.importorskip('safetensors.numpy').save_file
    rng = np.random.default_rng(0)
    wanted = {kind: rng.normal(0, 9, (3, 2)).astype(kind) for kind in ('f8', 'f4', 'f2', 'i8', 'i4', 'i2', 'i1')}
    wanted.update(u1=np.arange(5, dtype='u1'), bool=np.array([True, False]), none=np.zeros((0, 2), 'f4'))
    # Every length of the header, and so every first byte, must be told from other formats.
    for length in range(0, 256, 8):
        save_file(wanted, tmp_path / 'a.safetensors', {'about': 'x' * length})
        found = read_tensors(tmp_path / 'a.safetensors')
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert found[key].dtype == value.dtype
            np.testing.assert_array_equal(found[key], value)
    header = json.dumps({'a': {'dtype': 'BF16', 'shape': [2], 'data_offsets': [0, 4]}}).encode()
    (tmp_path / 'b').write_bytes(struct.pack('<Q', len(header)) + header + struct.pack('<HH', 0x3FC0, 0xC049))
    np.testing.assert_array_equal(read_tensors(tmp_path / 'b')['a'], np.float32([1.5, -3.140625]))


def test_our_safetensors_are_read_by_the_package(tmp_path):
    load_file = pytest.importorskip('safetensors.numpy').load_file
    wanted = {'one': np.float32([[1, 2, 3]]), 'count': np.zeros((), 'i8'), 'fünf': np.float32(5)}
    (tmp_path / 'a').write_bytes(safetensors_bytes(wanted))
    found = load_file(tmp_path / 'a')
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert (found[key].dtype, found[key].shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(found[key], value)


@pytest.mark.parametrize('model, kind', [*((model, 'safetensors') for model in TIMM_MODELS),
                                         *(('resnest14d', kind) for kind in ('pth', 'module.pth', 'half'))])
def test_logits_of_timm(model, kind, tmp_path):
    """The logits of timm's networks with these weights, at odd sizes; see timm_weights.py."""
    arrays = weights(timm_shapes(model))
    tolerance = 1e-4
    if kind.endswith('pth'):
        prefix = 'module.' * (kind == 'module.pth')
        content = pth({prefix + name: array for name, array in arrays.items() if array.dtype == 'f4'})
    else:
        save = pytest.importorskip('safetensors.numpy').save
        if kind == 'half':
            arrays, tolerance = {name: array.astype('f2') for name, array in arrays.items()}, 1e-2
        content = save(arrays)
    (tmp_path / 'source').write_bytes(content)
    count, classes = convert(tmp_path / 'source', tmp_path / 'made.params', model)
    assert classes == 1000
    net = get_model(TIMM[model], pretrained=tmp_path / 'made.params')
    assert count == len(net._collect_params_with_prefix())
    for size in ((64, 96), (97, 75)):
        found = net(mx.nd.array(image(*size))).asnumpy()
        assert relative_error(found, TIMM_LOGITS[f'{model}/{size[0]}x{size[1]}']) < tolerance


@pytest.mark.parametrize('model', TIMM_MODELS)
def test_names_of_timm(model):
    """Back to timm's names: the names, shapes and types of its state dict, num_batches_tracked included."""
    wanted = timm_shapes(model)
    back = to_pytorch(to_gluon(weights(wanted), model))
    assert {name: array.shape for name, array in back.items()} == wanted
    assert {name for name, array in back.items() if array.dtype == 'i8'} == \
        {name for name in wanted if name.endswith('num_batches_tracked')}


@pytest.mark.parametrize('model', ALL)
def test_there_and_back_is_the_identity(model):
    """Every parameter of every network, each with a value of its own."""
    params = get_model(model, classes=3)._collect_params_with_prefix()
    arrays = {name: np.broadcast_to(np.float32(number), param.shape)
              for number, (name, param) in enumerate(params.items())}
    found = to_gluon(to_pytorch(arrays), model)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        assert (found[name] == array).all()


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """A file of resnest14 for five classes, in the three formats."""
    folder = tmp_path_factory.mktemp('small')
    net = randomize(get_model('resnest14', classes=5, stem_width=32))
    net.save_parameters(str(folder / 'a.params'))
    convert(folder / 'a.params', folder / 'a.safetensors', 'resnest14')
    arrays = read_tensors(folder / 'a.safetensors')
    (folder / 'a.pth').write_bytes(pth({name: array for name, array in arrays.items() if array.dtype == 'f4'}))
    return folder


@pytest.mark.parametrize('kind', ['params', 'safetensors', 'pth'])
def test_files_there_and_back(small, tmp_path, kind):
    convert(small / f'a.{kind}', tmp_path / 'b.params', 'resnest14')
    found, wanted = mx.nd.load(str(tmp_path / 'b.params')), mx.nd.load(str(small / 'a.params'))
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name].asnumpy(), array.asnumpy())
    convert(small / f'a.{kind}', tmp_path / 'b', 'resnest14d.gluon_in1k', to='safetensors')
    assert (tmp_path / 'b').read_bytes() == (small / 'a.safetensors').read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {'b.params', 'b.json', 'b'}


@pytest.mark.parametrize('change, wanted', [
    (lambda arrays: arrays.pop('layer1.0.conv2.fc1.bias'), 'missing: layer1.0.conv2.fc1.bias'),
    (lambda arrays: arrays.update({'layer9.bias': np.float32([1])}), 'left over: layer9.bias'),
    (lambda arrays: arrays.update({'conv1.0.num_batches_tracked': np.int64(1)}), 'left over: conv1.0.num_batches'),
    (lambda arrays: arrays.update({'bn1.bias': np.zeros(3, 'f4')}),
     r'of another shape: bn1.bias \(3,\) instead of \(64,\)'),
    (lambda arrays: arrays.update({'bn1.bias': np.zeros(64, 'i4')}), 'not floating-point: bn1.bias int32'),
    (lambda arrays: arrays.pop('fc.bias'), 'not a ResNeSt: it lacks conv1.0.weight or conv1.weight, or fc.bias'),
    (lambda arrays: arrays.clear(), 'not a ResNeSt')])
def test_every_name_is_accounted_for(change, wanted):
    arrays = weights(timm_shapes('resnest14d'))
    change(arrays)
    with pytest.raises(InputError, match=f'here.pth: .*{wanted}'):
        to_gluon(arrays, 'resnest14', 'here.pth')


def test_long_lists_are_cut():
    arrays = weights(timm_shapes('resnest14d'))
    with pytest.raises(InputError) as caught:
        to_gluon(arrays, 'resnest26')
    assert 'missing: layer1.1.conv1.weight, ' in str(caught.value)
    assert '(92 in all)' in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize('damage', [lambda data: data[:len(data) // 2], lambda data: data[:-1], lambda data: data[:9],
                                    lambda data: data[:300] + b'?' * 200 + data[500:]])
@pytest.mark.parametrize('kind', ['a.params', 'a.safetensors', 'a.pth', 'tensors_legacy.pth'])
def test_damaged_files(small, tmp_path, kind, damage):
    data = ((EXPECTED if 'legacy' in kind else small) / kind).read_bytes()
    damaged = damage(data)
    if kind == 'a.params' and len(damaged) == len(data):
        damaged = b'?' + data[1:]       # Gluon's format has no checksum: only its head tells damage
    (tmp_path / kind).write_bytes(damaged)
    with pytest.raises(InputError, match=rf'{kind}: .*(truncated|damaged|neither)'):
        convert(tmp_path / kind, tmp_path / 'made.params', 'resnest14')
    assert [path.name for path in tmp_path.iterdir()] == [kind]


@pytest.mark.parametrize('content, wanted', [
    (b'', 'neither a PyTorch file nor'), (b'<!DOCTYPE html><html></html>', 'neither a PyTorch file nor'),
    (pickle.dumps({'a': 1}, protocol=2), 'a pickle, but not one of torch.save'),
    (pth({'a': np.zeros(2, 'f4')}, wrong=b'cos\nsystem\nX\x0b\x00\x00\x00touch owned\x85R0'), 'holds os.system'),
    (pth({'a': np.zeros(2, 'f4')}, wrong=b'cbuiltins\neval\n0'), 'holds builtins.eval'),
    (pth({}), 'holds no state_dict'),
    (pth({'a': np.lib.stride_tricks.as_strided(np.zeros(2, 'f4'), (2,), (4000,))}), 'reaches beyond its storage'),
    (pth({'a': np.zeros(4, 'f4')[::-1]}), 'reaches beyond its storage')],
    ids=['empty', 'web page', 'pickle', 'system', 'eval', 'no arrays', 'beyond', 'negative stride'])
def test_files_of_other_things(content, wanted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.pth').write_bytes(content)
    with pytest.raises(InputError, match=f'a.pth: .*{wanted}'):
        read_tensors(tmp_path / 'a.pth')
    assert [path.name for path in tmp_path.iterdir()] == ['a.pth']


def test_a_zip_of_other_things(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('resnest50.params', b'')
    with pytest.raises(InputError, match=r'a.zip: a zip archive, but not one of torch.save'):
        read_tensors(tmp_path / 'a.zip')


def test_the_commands_of_the_docs(small, tmp_path):
    """From .pth and .safetensors to Gluon, and back; on resnest14 in place of resnest50."""
    block, = re.findall(r'```\n(python .*?)```', WEIGHTS_PAGE, re.DOTALL)
    for name in ('resnest14.pth', 'timm.safetensors', 'best.params'):
        (tmp_path / name).write_bytes((small / f'a{(tmp_path / name).suffix}').read_bytes())
    write_description(tmp_path / 'best.params', Description('resnest14', 5))
    for number, line in enumerate(block.replace('resnest50', 'resnest14').splitlines()):
        words = line.removeprefix('python scripts/').split()
        (tmp_path / words[2]).unlink(missing_ok=True)
        result = (script_here if number else script)(*words, cwd=tmp_path)     # one in a process of its own
        assert result.returncode == 0, result.stderr
        assert '5 classes' in result.stdout
        wanted = small / f"a{(tmp_path / words[2]).suffix}"
        assert len((tmp_path / words[2]).read_bytes()) == len(wanted.read_bytes())
    x = mx.nd.array(image(33, 40))
    nets = [get_model('resnest14', classes=5, pretrained=folder) for folder in
            (small / 'a.params', tmp_path / 'resnest14.params')]
    np.testing.assert_array_equal(nets[0](x).asnumpy(), nets[1](x).asnumpy())


def test_the_docs_list_the_names():
    assert dict(re.findall(r'^\| (\S*res\S+) \| (\S*res\S+) \|$', WEIGHTS_PAGE, re.MULTILINE)) == TIMM
    assert VARIANTS['resnest50'].file + '.params' in WEIGHTS_PAGE


@pytest.mark.parametrize('words, wanted', [
    (('{small}/a.pth', 'b.params', '--model', 'resnest26'), ('a.pth: not of resnest26', 'layer1.1.conv1.weight')),
    (('{small}/a.pth', 'b.params', '--model', 'resnest14e'), ("no model 'resnest14e'; did you mean 'resnest14'",)),
    (('{small}/a.pth', 'b.bin', '--model', 'resnest14'), ('b.bin: the ending tells no format',)),
    (('{small}/a.pth', 'no/b.params', '--model', 'resnest14'), ('no/b.params', 'No such file')),
    (('no.pth', 'b.params', '--model', 'resnest14'), ('no.pth: no such file',)),
    (('no.pth', 'b.params', '--model', 'simple_pose_resnet50_v1b'), ('of pose have no other format than',)),
    (('/proc/self/mem', 'b.params'), ('/proc/self/mem: cannot be read: Input/output error',)),
    (('{small}/a.pth', 'b.params', '--model', 'resnest14', '--model-options', 'radx=1'), ("did you mean 'radix'",)),
    (('{small}/a.pth', 'b.params', '--model', 'resnest14', '--model-options', 'radix=1'), ('a.pth: not of resnest14',)),
])
def test_the_command_refuses(small, tmp_path, words, wanted):
    words = [word.format(small=small) for word in words]
    assert_refused(script_here('gluon/convert_weights.py', *words, cwd=tmp_path), *wanted)
    assert list(tmp_path.iterdir()) == []


def test_bare_weights_of_a_changed_network(tmp_path):
    """What changes it is told by an option, and kept in what is written, there and back."""
    net = randomize(get_model('resnest14', classes=5, radix=0))
    net.save_parameters(str(tmp_path / 'a.params'))
    options = ('--model-options', 'radix=0', 'crop_size=160')
    result = script_here('gluon/convert_weights.py', 'a.params', 'b.safetensors', '--model', 'resnest14', *options,
                         cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    convert(tmp_path / 'b.safetensors', tmp_path / 'c.params', options={'crop_ratio': 1})
    assert described(tmp_path / 'c.params').options == {'radix': 0, 'crop_size': 160, 'crop_ratio': 1.0}
    x = mx.nd.array(image(33, 40))
    np.testing.assert_array_equal(get_model(str(tmp_path / 'c.params'))(x).asnumpy(), net(x).asnumpy())
    with pytest.raises(InputError, match='weights of a network whose radix is 0, not 2; leave out the option'):
        convert(tmp_path / 'b.safetensors', tmp_path / 'd.params', options={'radix': 2})


def test_bfloat16_parameters_are_converted(small, tmp_path):
    """From a .params file in which mxnet has written bfloat16: the upper halves of the float32 numbers."""
    arrays = mx.nd.load(str(small / 'a.params'))
    mx.nd.save(str(tmp_path / 'half.params'), {name: array.astype(BFLOAT16) for name, array in arrays.items()})
    convert(tmp_path / 'half.params', tmp_path / 'b.params', 'resnest14')
    for name, array in mx.nd.load(str(tmp_path / 'b.params')).items():
        np.testing.assert_allclose(array.asnumpy(), arrays[name].asnumpy(), rtol=2 ** -7)
