"""Files of detectors: of every format and under every name, backbones, and what does not fit."""
import json
import pickle
import re

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model
from resnest.gluon.distributed import Job
from resnest.gluon.models.weights.description import Description, read_description, write_description
from resnest.gluon.models.weights.tensor_files import safetensors_bytes
from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.tasks.detection import DetectionConfig, categories_of
from resnest.gluon.tasks.detection.describing import described
from resnest.gluon.tasks.detection.making import convert, load_weights
from resnest.gluon.tasks.detection.starting import settle_network
from resnest.gluon.tasks.detection.weights.detectron2_files import detectron2_names, to_detectron2
from resnest.gluon.tasks.detection.weights.gluoncv_files import gluoncv_names

from ...conftest import assert_refused, script_here
from ...models.weights.test_conversion import pth
from .drawn import draw, normalized, picture

NAME = 'mask_cascade_rcnn_fpn_resnest50'
LITTLE = dict(base='resnest14', box_convolutions=1, box_dense=0, mask_convolutions=1, stem_width=16, proposals=20)
X = picture('A')[:, :64, :96]


def values_of(net):
    return {name: param.data().asnumpy() for name, param in structural_parameters(net).items()}


def theirs_of(net):
    """The drawn arrays under Detectron2's names."""
    shapes = {name: param.shape for name, param in structural_parameters(net).items()}
    return {their: draw(their, shapes[name]) for name, their in detectron2_names(net).items()}


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """One detector for five classes in Detectron2's formats, with what such files hold besides."""
    folder = tmp_path_factory.mktemp('files')
    net = get_model(NAME, classes=5, **LITTLE)
    arrays = {**theirs_of(net), 'pixel_mean': np.ones((3, 1, 1), 'f4'),
              'proposal_generator.anchor_generator.cell_anchors.0': np.zeros((3, 4), 'f4')}
    (folder / 'a.pth').write_bytes(pth(arrays))
    (folder / 'a.safetensors').write_bytes(safetensors_bytes(
        {**arrays, 'backbone.bottom_up.stem.conv1_1.norm.num_batches_tracked': np.zeros((), 'i8')}))
    (folder / 'a.pkl').write_bytes(pickle.dumps(
        {'model': arrays, '__author__': 'Detectron2 Model Zoo', 'matching_heuristics': True}, 2))
    return folder


@pytest.fixture(scope='module')
def wanted(files):
    net = get_model(NAME, pretrained=files / 'a.safetensors', classes=5, **LITTLE)
    return net, [output.asnumpy() for output in net(normalized(net, X))]


@pytest.mark.parametrize('kind', ['pth', 'pkl', 'safetensors'])
def test_files_of_detectron2_there_and_back(files, wanted, tmp_path, kind):
    """Converted to .params, which needs no other word, and from there to Detectron2's names again."""
    count, classes = convert(files / f'a.{kind}', tmp_path / 'b.params', NAME, options=LITTLE)
    assert (count, classes) == (len(structural_parameters(wanted[0])), 5)
    assert read_description(tmp_path / 'b.params').options == {**LITTLE, 'box_dense': 0}
    net = get_model(tmp_path / 'b.params')
    for found, other in zip(net(normalized(net, X)), wanted[1]):
        np.testing.assert_array_equal(found.asnumpy(), other)
    arrays = theirs_of(net)
    for ending in ('pkl', 'safetensors'):
        convert(tmp_path / 'b.params', tmp_path / f'c.{ending}')
        assert convert(tmp_path / f'c.{ending}', tmp_path / f'{ending}.params',
                       *([NAME, None, LITTLE] if ending == 'pkl' else [])) == (count, classes)
        assert (tmp_path / f'{ending}.params').read_bytes() == (tmp_path / 'b.params').read_bytes()
    model = pickle.loads((tmp_path / 'c.pkl').read_bytes())['model']
    assert model.keys() == arrays.keys()
    assert all((model[name] == array).all() for name, array in arrays.items())


def test_the_command(files, tmp_path):
    options = [f'{name}={value}' for name, value in LITTLE.items()]
    words = (files / 'a.pkl', 'b.params', '--model', NAME, '--model-options')
    done = script_here('gluon/convert_weights.py', *words, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(f'b.params: {NAME}, 209 arrays, 5 classes')
    (tmp_path / 'b.params').unlink()
    refused = script_here('gluon/convert_weights.py', *words[:2], '--model', 'mask_rcnn_fpn_resnest50',
                          '--model-options', *options, cwd=tmp_path)
    assert_refused(refused, 'a.pkl: not of mask_rcnn_fpn_resnest50', 'missing: roi_heads.box_head.conv1.weight',
                   'left over: roi_heads.box_')
    refused = script_here('gluon/convert_weights.py', *words[:2], '--model', 'mask_cascade_rcnn_fpn_resnest5',
                          cwd=tmp_path)
    assert_refused(refused, "did you mean 'mask_cascade_rcnn_fpn_resnest50'")
    assert [path.name for path in tmp_path.iterdir()] == ['b.json']


def test_another_number_of_classes(files):
    options = {'classes': 3, **LITTLE}
    with pytest.raises(InputError, match=r'a.pkl: .*logits.weight is \(6, .* for 5 classes; give classes=5'):
        get_model(NAME, pretrained=files / 'a.pkl', **options)
    net = get_model(NAME, **options)
    assert load_weights(net, files / 'a.pkl', other_classes=True)
    anew = {name for name, value in values_of(net).items() if name.rpartition('.')[0] in net.classifiers}
    assert {name.rpartition('.')[0] for name in anew} == {*(f'box_heads.{place}.logits' for place in range(3)),
                                                         'mask_head.logits'}
    kept = values_of(get_model(NAME, pretrained=files / 'a.pkl', classes=5, **LITTLE))
    for name, value in values_of(net).items():
        assert np.isfinite(value).all()
        assert name in anew or (value == kept[name]).all()


@pytest.mark.parametrize('name, base, blocks, other', [
    ('faster_rcnn_fpn_resnest50', 'resnest14', (1, 1, 1, 1), 'resnest26'),
    ('faster_rcnn_fpn_resnet101', 'resnet50', (3, 4, 6, 3), 'resnet101'),
    ('faster_rcnn_fpn_syncbn_resnest269_coco', 'resnest26', (2, 2, 2, 2), 'resnest14')])
def test_bare_weights_tell_their_depth(name, base, blocks, other, tmp_path, caplog):
    little = dict(channels=16, box_units=8, box_convolutions=1)
    options = {**little, 'base': base, 'classes': 3}
    net = get_model(name, **options)
    names = detectron2_names(net) if 'coco' not in name else {
        ours: re.sub('^features.', 'features.resnest0_', their) for ours, their in gluoncv_names(net).items()}
    path = tmp_path / 'a.safetensors'
    path.write_bytes(safetensors_bytes({their: np.zeros(structural_parameters(net)[ours].shape, 'f4')
                                        for ours, their in names.items()}))
    convert(path, tmp_path / 'b.params', name, options=little)
    assert read_description(tmp_path / 'b.params').options['base'] == base
    made = get_model(name, pretrained=path, **little)
    assert (made.spec.base, made.spec.classes, made.spec.blocks) == (base, 3, blocks)
    assert f'a.safetensors: told by its arrays: base={base} instead of' in caplog.text
    with pytest.raises(InputError, match=f'its stages have .*: give base={base}; '):
        get_model(name, pretrained=path, **{**options, 'base': other})


def test_bare_weights_tell_what_else_can_be_counted(tmp_path):
    little = dict(base='resnest14', channels=16, box_units=8, box_convolutions=1)
    told = dict(deformable_stages=(3, 4), agnostic=True, mask_convolutions=2, classes=3)
    net = get_model('mask_rcnn_fpn_resnest50', **little, **told)
    net.initialize()
    values = values_of(net)
    for ending, arrays in (('theirs', to_detectron2(values, net)), ('ours', values)):
        path = tmp_path / f'{ending}.safetensors'
        path.write_bytes(safetensors_bytes(arrays))
        made = get_model('mask_rcnn_fpn_resnest50', pretrained=path, **little)
        assert {name: getattr(made.spec, name) for name in told} == told
        config = DetectionConfig(model='mask_rcnn_fpn_resnest50', resume_params=str(path), model_options=little)
        assert settle_network(config, Job(None))[1] == made.spec


def test_deformable_stages_take_plain_weights(files):
    net = get_model(NAME, pretrained=files / 'a.safetensors', classes=5, deformable_stages=(4,), **LITTLE)
    values = values_of(net)
    assert not values['backbone.layer4.0.conv2_offset.weight'].any()
    with pytest.raises(InputError, match='missing: backbone.bottom_up.res5.0.conv2_offset.weight'):
        convert(files / 'a.safetensors', files / 'no.params', NAME, options={**LITTLE, 'deformable_stages': [4]})


def test_files_of_gluoncv(tmp_path):
    """Without options it is told by its names; the background moves from the first place to the last."""
    name = 'faster_rcnn_fpn_syncbn_resnest50_coco'
    options = dict(base='resnest14', classes=3, box_convolutions=1, box_dense=1)
    net = get_model(name, **options)
    net.initialize()
    names = gluoncv_names(net)
    arrays = {their: np.random.default_rng(number).uniform(0.5, 1, structural_parameters(net)[ours].shape).astype('f4')
              for number, (ours, their) in enumerate(names.items())}
    mx.nd.save(str(tmp_path / 'a.params'), {re.sub('^features.', 'features.resnest0_', their):
                                            mx.nd.array(array) for their, array in arrays.items()})
    net = get_model(name, pretrained=tmp_path / 'a.params', **options)
    bias = net.box_heads[0].logits.bias.data().asnumpy()
    np.testing.assert_array_equal(bias, np.roll(arrays['class_predictor.bias'], -1))
    convert(tmp_path / 'a.params', tmp_path / 'b.params', name, options=options)
    np.testing.assert_array_equal(get_model(tmp_path / 'b.params').box_heads[0].logits.bias.data().asnumpy(), bias)
    with pytest.raises(InputError, match='has no names in Detectron2'):
        convert(tmp_path / 'b.params', tmp_path / 'b.pkl')


@pytest.mark.parametrize('form', ['ours', 'whole', 'bare', 'prefixed', 'pytorch'])
def test_backbones(files, tmp_path, form):
    """Of a classifier of ours and of PyTorch's, of Detectron2's backbone-only files, and of a whole detector."""
    net = get_model(NAME, classes=5, **LITTLE)
    arrays = {name: array for name, array in theirs_of(net).items() if name.startswith('backbone.bottom_up.')}
    path = tmp_path / 'a.safetensors'
    if form == 'whole':
        path = files / 'a.pkl'
    elif form in ('bare', 'prefixed'):
        cut = 'backbone.bottom_up.' if form == 'bare' else ''
        path.write_bytes(safetensors_bytes({'linear.weight': np.ones((3, 4), 'f4'), **{
            name.removeprefix(cut): array for name, array in arrays.items()}}))
    else:
        classifier = get_model('resnest14', stem_width=16, classes=3)
        classifier.initialize()
        classifier.save_parameters(str(tmp_path / 'a.params'))
        if form == 'ours':
            path = tmp_path / 'a.params'
        else:
            from resnest.gluon.models.weights.conversion import convert as convert_classifier
            convert_classifier(tmp_path / 'a.params', path, 'resnest14', options={'stem_width': 16})
    values = values_of(get_model(NAME, pretrained_base=path, classes=5, **LITTLE))
    if form in ('bare', 'prefixed'):
        assert convert(path, tmp_path / 'b.params', NAME, options=LITTLE)[1] == 0
        again = values_of(get_model(NAME, pretrained_base=tmp_path / 'b.params', classes=5, **LITTLE))
        assert all((again[name] == values[name]).all() for name in values if name.startswith('backbone.'))
        with pytest.raises(InputError, match='c.pkl: a backbone alone is converted to .params'):
            convert(path, tmp_path / 'c.pkl', NAME, options=LITTLE)
    if form in ('ours', 'pytorch'):
        wanted = {f'backbone.{name}': value for name, value in values_of(classifier).items()
                  if not name.startswith('fc.')}
    else:
        names = detectron2_names(net)
        wanted = {name: arrays[names[name]] for name in values if name.startswith('backbone.')}
    assert len(wanted) > 100
    for name, value in wanted.items():
        np.testing.assert_array_equal(values[name], value)


def test_what_is_no_backbone(files, tmp_path):
    (tmp_path / 'a.safetensors').write_bytes(safetensors_bytes({'some.weight': np.ones(3, 'f4')}))
    with pytest.raises(InputError, match='a.safetensors: holds no backbone; its first names are some.weight'):
        get_model(NAME, pretrained_base=tmp_path / 'a.safetensors')
    (tmp_path / 'R-50.pkl').write_bytes(pickle.dumps({'conv1_w': np.ones(3), 'res2_0_branch2a_w': np.ones(3)}, 2))
    with pytest.raises(InputError, match=r'R-50.pkl: has the names of Caffe2 \(res2_0_branch2a_w\)'):
        get_model('faster_rcnn_fpn_resnet50', pretrained_base=tmp_path / 'R-50.pkl')
    with pytest.raises(InputError, match='of another shape: backbone.bottom_up.stem'):
        get_model(NAME, pretrained_base=files / 'a.pkl', **{**LITTLE, 'stem_width': 32})
    with pytest.raises(InputError, match='no ImageNet weights are published for resnet50 here'):
        get_model('faster_rcnn_fpn_resnet50', pretrained_base=True)


def test_described_weights(files, tmp_path):
    """Names, numbers and options come back from beside the weights; what contradicts them is refused."""
    net = get_model(NAME, pretrained=files / 'a.pkl', classes=5, **LITTLE)
    assert categories_of(net).ids == [1, 2, 3, 4, 5]
    names = ['ant', 'bee', 'cat', 'dog', 'elk']
    known = type(categories_of(net))(names, [3, 5, 7, 9, 11])
    path = tmp_path / 'best.params'
    net.save_parameters(str(path))
    write_description(path, described(net, known))
    again = get_model(str(path), detections=7)
    assert (again.spec.classes, again.spec.detections, again.spec.base) == (5, 7, 'resnest14')
    assert categories_of(again) == known
    for options, message in (({'classes': 6}, 'leave out classes'), ({'mask_convolutions': 4}, 'leave out mask_conv'),
                             ({'stem_width': 32}, 'leave out stem_width')):
        with pytest.raises(InputError, match=message):
            get_model(str(path), **options)
    with pytest.raises(InputError, match='are of mask_cascade_rcnn_fpn_resnest50, not of faster'):
        get_model('faster_rcnn_fpn_resnest50', pretrained=path)
    text = json.loads(path.with_suffix('.json').read_text())
    for own, message in (({'category_ids': [1, 1, 2, 3, 4]}, 'a number stands there twice'),
                         ({'category_ids': [1]}, 'one for each of the 5'), ({'colour': 1}, 'is in no description'),
                         ({'stuff': ['sky'], 'stuff_ids': [9]}, 'stuff: 1 names for 0 kinds')):
        path.with_suffix('.json').write_text(json.dumps({**text, 'own': own}))
        with pytest.raises(InputError, match=message):
            get_model(str(path))
    write_description(path, Description('resnest14', 5))
    with pytest.raises(InputError, match='are of classification, not of detection'):
        get_model(NAME, pretrained=path)
