"""The picked images, the calibration images, ranks that go, and the figures."""
import sys
from dataclasses import replace
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data import Evaluation, RecordSet
from resnest.gluon.data.images.transforms import MEAN, STD
from resnest.gluon.inference.calibration_images import calibration_batches, calibration_records
from resnest.gluon.models import VARIANTS, override
from resnest.gluon.models.weights.description import METADATA, Description, to_text
from resnest.gluon.tasks.classification import settling, verification
from resnest.gluon.tasks.classification.settling import settle
from resnest.gluon.tasks.classification.verification import OnnxNet, onnx_engine, picked_batches, result, result_line

from ...conftest import encoded


@pytest.mark.parametrize('count, limit, ranks', [(37, None, 1), (37, 10, 1), (37, 10, 3), (5, 50, 2), (3, 2, 4)])
def test_each_picked_image_comes_once_over_the_ranks(count, limit, ranks):
    batches = [batch for rank in range(ranks) for batch in picked_batches(count, limit, 4, rank, ranks)]
    assert max(map(len, batches)) <= 4
    found = sorted(np.concatenate(batches).tolist())
    wanted = min(limit or count, count)
    assert len(set(found)) == len(found) == wanted
    gaps = np.diff([*found, count])
    assert gaps.max() - gaps.min() <= 1         # evenly over all, since the classes may come in order
    assert 0 <= found[0] < found[-1] < count or wanted == 1


def test_the_rows_interpolation_is_what_a_model_is_verified_with(monkeypatch):
    monkeypatch.setitem(VARIANTS, 'resnest50', override(VARIANTS['resnest50'], {'interpolation': 'bicubic'}))
    crops = [settle('resnest50').crop(size) for size in (None, 224, 192, 257)]
    assert [crop.filter for crop in crops] == [Image.BICUBIC, Image.BICUBIC, Image.BILINEAR, Image.BICUBIC]


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(InputError, match='--limit must be at least 1, got 0'):
        picked_batches(5, 0, 4)


class TwoRanks:
    """Stands for horovod.mxnet on rank 0 of 2; the other's process has gone, which the collective ``fails`` notices."""

    def __init__(self, fails):
        self.fails = fails
        self.init, self.rank, self.size = lambda: None, lambda: 0, lambda: 2
        self.local_rank, self.local_size = self.rank, self.size

    def allgather(self, mine, name):
        self.allreduce(mine, False, name)
        return mx.nd.concat(mine, mine + (2 ** 22 if name == 'processes' else 0), dim=0)

    def allreduce(self, mine, average, name):
        if name == self.fails:
            raise mx.MXNetError('Horovod has been shut down')
        return mine


@pytest.mark.parametrize('fails', ['hosts', 'processes', 'agree on number of images', 'all', 'classes', 'finish'])
def test_a_rank_that_has_gone_is_told_wherever_this_one_waits_for_it(tmp_path, monkeypatch, fails):
    for name in ('a', 'b'):
        tmp_path.joinpath('val', name).mkdir(parents=True)
        tmp_path.joinpath('val', name, '1.png').write_bytes(encoded(np.zeros((40, 40, 3), dtype='uint8')))
    horovod = TwoRanks(fails)
    monkeypatch.setitem(sys.modules, 'horovod', SimpleNamespace(mxnet=horovod))
    monkeypatch.setitem(sys.modules, 'horovod.mxnet', horovod)
    monkeypatch.setenv('HOROVOD_RANK', '0')
    monkeypatch.setenv('HOROVOD_SIZE', '2')
    monkeypatch.setenv('HOROVOD_CYCLE_TIME', '5')
    monkeypatch.setattr(settling, 'get_model', lambda *_, **__: None)
    monkeypatch.setattr(verification, 'gluon_engine', lambda *_: lambda images: mx.nd.zeros((len(images), 2)))
    told = 'another rank stopped, ' if fails in ('hosts', 'processes') else r'rank 1 \(process [0-9]+\) died; '
    with pytest.raises(InputError, match=f'^{told}.*this is rank 0; start again$'):
        verification.verify('resnest50', data_dir=tmp_path, weights='w', num_classes=2, crop_size=32, no_cuda=True)


def test_figures():
    found = result([3, 4, 8, 0, 10.0], 12.34, 'x.params', model='m', engine='gluon', precision='int8')
    assert (found['top1'], found['top5'], found['loss'], found['seen']) == (37.5, 50, 1.25, 8)
    assert result_line(found) == ('m: top-1 37.50 %  top-5 50.00 %  loss 1.2500  of 8 images, 12.3 images/s '
                                  '(gluon, int8)')
    with pytest.raises(InputError, match='x.params: .* not finite for 2 of 8 images'):
        result([3, 4, 8, 2, 0.0], None, 'x.params')


@pytest.fixture
def small_file(tmp_path):
    """A function that writes the smallest classifier, of three colours, with the given metadata, and opens it."""
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    make = onnx.helper
    values = [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sides)
              for name, sides in (('data', ['N', 3, 'H', 'W']), ('y', ['N', 3]))]
    nodes = [make.make_node('GlobalAveragePool', ['data'], ['x']), make.make_node('Flatten', ['x'], ['y'])]
    model = make.make_model(make.make_graph(nodes, 'g', values[:1], values[1:]),
                            opset_imports=[make.make_opsetid('', 13)], ir_version=7)

    def write(**metadata):
        onnx.helper.set_model_props(model, metadata)
        onnx.save(model, str(tmp_path / 'x.onnx'))
        return OnnxNet(tmp_path / 'x.onnx')
    return write


@pytest.mark.parametrize('model, metadata, wanted', [
    (None, {}, ('resnest50', 224, 0.875)),
    (None, dict(model='resnest269', image_size='64', crop_ratio='0.5'), ('resnest269', 64, 0.5)),
    (None, dict(model='resnest269'), ('resnest269', 416, 0.928)),
    (None, dict(model='yolo', image_size='[64, 64]', crop_ratio=''), ('resnest50', 224, 0.875)),
    (None, dict(image_size='9' * 9, crop_ratio='nan'), ('resnest50', 224, 0.875)),
    (None, dict(image_size='-64', crop_ratio='1e9', mean='(1, 2)', std='[[]'), ('resnest50', 224, 0.875)),
    (None, dict(model='yolo', image_size='64', crop_ratio='0.5'), ('resnest50', 64, 0.5)),
    ('resnest101', dict(model='resnest269', image_size='64'), ('resnest101', 64, 0.875)),
])
def test_an_exported_file_of_an_earlier_version_tells_what_it_can(small_file, model, metadata, wanted):
    spec = settle(model, exported=small_file(**metadata)).spec
    assert (spec.name, spec.crop_size, spec.crop_ratio, spec.mean) == (*wanted, MEAN)


def test_an_exported_file_tells_what_its_weights_are(small_file):
    description = Description('resnest14', 3, {'crop_size': 40, 'mean': [0.5, 0.5, 0.5]}, ['r', 'g', 'b'])
    known = settle(exported=small_file(image_size='7', **{METADATA: to_text(description)}))
    assert (known.spec, known.description, known.crop().size) == (description.spec, description, 40)
    for mean, std in (((0.5, 0.5, 0.25), (1.0, 0.01, 0.3)), ((1e-05, 0.0, 1.0), (0.9, 0.8, 0.7))):
        spec = settle(exported=small_file(mean=str(mean), std=str(std))).spec
        assert (spec.mean, spec.std) == (mean, std)
    with pytest.raises(InputError, match='std must be three numbers'):
        settle(exported=small_file(mean=str(mean), std='(0.5, 0.0, 0.5)'))
    for text, model, wanted in ((to_text(description), 'resnest50', 'are of resnest14, not of resnest50'),
                                (to_text(replace(description, classes=4, names=None)), None, '3 logits, .* 4 classes'),
                                (to_text(description)[:-9], None, r'x.onnx \(metadata\): not JSON')):
        with pytest.raises(InputError, match=wanted):
            settle(model, exported=small_file(**{METADATA: text}))


def test_a_file_of_other_classes_is_refused(small_file):
    with pytest.raises(InputError, match=r'x.onnx know 3 classes, not 4'):
        settle(num_classes=4, exported=small_file())
    pixels = np.full((2, 8, 8, 3), 255, dtype='uint8')
    logits = onnx_engine(small_file(), VARIANTS['resnest14'])(mx.nd.array(pixels, dtype='uint8')).asnumpy()
    np.testing.assert_allclose(logits, np.tile((1 - np.array(MEAN)) / np.array(STD), (2, 1)), rtol=1e-5)


def test_calibration_takes_training_images(squares, tmp_path):
    records, source = calibration_records(rec_dir=str(squares))
    assert [path.name[:5] for path in records.files] == ['train'] * 3
    assert 'training shards' in source
    batches = list(calibration_batches(records, Evaluation(16), 10, batch_size=4))
    assert [images.shape for images, _ in batches] == [(4, 16, 16, 3), (4, 16, 16, 3), (2, 16, 16, 3)]
    train = RecordSet(squares, 'train')
    assert [label for _, labels in batches for label in labels] == [train[i * 96 // 10][1] for i in range(10)]
    assert len(list(calibration_batches(records, Evaluation(16), 1000, batch_size=100))[0][1]) == 96


def test_calibration_takes_a_folder_of_images(tmp_path):
    colours = {'b.png': 200, 'sub/a.png': 10, 'sub/deep/c.png': 90}
    for name, value in colours.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encoded(np.full((20, 30, 3), value, dtype=np.uint8)))
    (tmp_path / 'notes.txt').write_text('no image')
    records, source = calibration_records(str(tmp_path))
    (images, _), = calibration_batches(records, Evaluation(16))
    assert (sorted(images[:, 0, 0, 0]), source) == ([10, 90, 200], str(tmp_path))


def test_calibration_never_takes_the_verified_images(squares, tmp_path):
    for settings in (dict(rec_dir=str(squares / 'val-00000-of-00003.rec')), dict(data_dir=str(tmp_path)), {}):
        with pytest.raises(InputError, match='no training images to calibrate int8 with'):
            calibration_records(**settings)
    assert calibration_records(rec_dir=str(squares / 'val-00000-of-00003.rec'), needed=False) == (None, None)
    with pytest.raises(InputError, match='no pictures'):
        calibration_records(str(tmp_path))
    with pytest.raises(InputError, match='at least 1, got 0'):
        calibration_batches(RecordSet(squares, 'train'), Evaluation(16), 0)
