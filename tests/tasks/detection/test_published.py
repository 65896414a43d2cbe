"""Published detectors: fetched, converted once and kept, and listed by the catalogue."""
import hashlib
from dataclasses import replace

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model, list_models, purge
from resnest.gluon.models.weights.tensor_files import safetensors_bytes
from resnest.gluon.tasks.detection import DETECTION, DetectionSpec
from resnest.gluon.tasks.detection.weights.detectron2_files import to_detectron2

from ...models.weights import server
from ...models.weights.test_conversion import pth
from .test_weights import NAME, values_of


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A row whose file lies on a mirror, for five classes; its name ends in the file's hash. And what is in it."""
    row = DetectionSpec('little', 'resnest14', ious=(0.5, 0.6, 0.7), agnostic=True, mask_convolutions=1,
                        box_convolutions=1, box_dense=0, classes=5)
    monkeypatch.setitem(DETECTION, 'little', row)
    net = get_model('little')
    net.initialize()
    data = pth(to_detectron2(values_of(net), net))
    archive = f'little-{hashlib.sha256(data).hexdigest()[:8]}'
    monkeypatch.setitem(DETECTION, 'little', replace(row, archive=archive))
    mirror = tmp_path / 'mirror'
    mirror.mkdir()
    monkeypatch.setenv('RESNEST_MIRROR', str(mirror))
    (mirror / f'{archive}.pth').write_bytes(data)
    return mirror / f'{archive}.pth', values_of(net)


def test_published_files_from_the_network(published, tmp_path, monkeypatch, caplog):
    """Fetched once; what another server gives in its place is named, and leaves nothing."""
    source, values = published
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    running = server.Server(server.PAGE)
    monkeypatch.setenv('RESNEST_MIRROR', running.url)
    with pytest.raises(InputError, match='cannot get little-.*damaged: its sha256 begins with .*, twice'):
        get_model('little', pretrained=True, root=tmp_path / 'root')
    assert [*(tmp_path / 'root').iterdir()] == []
    running.data = source.read_bytes()
    for _ in range(2):
        net = get_model('little', pretrained=True, root=tmp_path / 'root')
    assert len(running.asked) == 3
    running.close()
    assert all((value == values[name]).all() for name, value in values_of(net).items())
    assert sorted(path.suffix for path in (tmp_path / 'root').iterdir()) == ['.json', '.params']


def test_published_files_are_converted_once_and_kept(published, tmp_path, caplog):
    source, values = published
    root, name = tmp_path / 'root', source.with_suffix('.params').name
    assert 'little' in list_models(task='detection', pretrained=True)
    net = get_model('little', pretrained=True, root=root)
    found = values_of(net)
    assert all((found[each] == value).all() for each, value in values.items())
    assert sorted(path.name for path in root.iterdir()) == [name.replace('.params', '.json'), name]
    content = source.read_bytes()
    source.unlink()
    net = get_model('little', pretrained=True, root=root, classes=2, detections=7)
    assert (net.spec.archive, net.box_heads[2].logits.bias.shape) == (source.stem, (3,))
    get_model(root / name)
    # What was kept and is damaged now is made again; a file that is another one is refused.
    kept = (root / name).read_bytes()
    (root / name).write_bytes(kept[:-9])
    with pytest.raises(InputError, match='cannot get .*no such file, or a damaged one.*; put the file, or its .pth'):
        get_model('little', pretrained=True, root=root)
    (root / source.name).write_bytes(content[:-1] + b'?')
    with pytest.raises(InputError, match='cannot get'):
        get_model('little', pretrained=True, root=root)
    assert 'its sha256 begins with' in caplog.text
    (root / source.name).write_bytes(content)
    get_model('little', pretrained=True, root=root)
    assert (root / name).read_bytes() == kept
    assert {path.name for path in purge(root)} == {name, name.replace('.params', '.json'), source.name}
    with pytest.raises(InputError, match='no weights are published for little with other values'):
        get_model('little', pretrained=True, root=root, mask_convolutions=0)


def test_the_catalogue_knows_detectors(tmp_path):
    assert list_models(task='detection') == list(DETECTION)
    assert list_models('*_coco', task='detection', pretrained=True) == [
        f'faster_rcnn_fpn_syncbn_resnest{depth}_coco' for depth in (50, 101, 269)]
    assert len(list_models(task='detection', pretrained=True)) == 24
    with pytest.raises(InputError, match="did you mean 'cascade_rcnn_fpn_resnest101'"):
        get_model('cascade_rcnn_fpn_resnest1o1')
    with pytest.raises(InputError, match="a network has no 'propsals'; did you mean 'proposals'"):
        get_model(NAME, propsals=3)
    (tmp_path / 'a.safetensors').write_bytes(safetensors_bytes({'conv1.0.weight': np.ones(3, 'f4')}))
    with pytest.raises(InputError, match='holds no detector; its first names are conv1.0.weight'):
        get_model(NAME, pretrained=tmp_path / 'a.safetensors')
