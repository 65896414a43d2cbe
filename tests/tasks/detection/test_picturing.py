"""The command detect: what it tells, writes and refuses, in this process, with a small detector's drawn weights."""
import json

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from resnest.commands.detection.detect import main
from resnest.errors import InputError
from resnest.gluon.data.coco.run_lengths import counts_of, mask_of
from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.tasks.detection import detect

from .drawn import drawn_net, picture

NAME = 'mask_rcnn_fpn_resnest50'
SMALL = {'base': 'resnest14', 'stem_width': 8, 'classes': 4, 'proposals': 20, 'detections': 5, 'box_convolutions': 1,
         'box_dense': 0, 'mask_convolutions': 1, 'short_side': 64}
OPTIONS = [f'{key}={value}' for key, value in SMALL.items()]


@pytest.fixture(scope='module')
def net():
    return drawn_net(NAME, **SMALL)


@pytest.fixture(scope='module')
def folder(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp('detect')
    net.save_parameters(str(folder / 'weights.params'))
    (folder / 'in').mkdir()
    for which in 'AB':
        Image.fromarray(picture(which).transpose(1, 2, 0).astype(np.uint8)).save(folder / 'in' / f'{which}.png')
    return folder


def words(folder, *more):
    return [str(word) for word in (folder / 'in', '--model', NAME, '--resume', folder / 'weights.params', '--no-cuda',
                                   *more, '--model-options', *OPTIONS)]


def test_what_is_told_and_written(net, folder, capsys):
    (folder / 'in' / 'C.jpg').write_bytes(b'no picture')
    with pytest.raises(InputError, match=r'C\.jpg'):
        main(words(folder, '--json', folder / 'x.json', '--figure', folder / 'x.jpg', '--pictures', folder / 'out',
                   '--least-score', '0.1', '--batch-size', 2))
    (folder / 'in' / 'C.jpg').unlink()
    told = json.loads((folder / 'x.json').read_text())
    assert len(told['unreadable']) == 1
    said = capsys.readouterr().out
    for each, found in zip(told['pictures'], detect(net, folder / 'in')):
        found = found.above(0.1)
        assert each['file'] in said
        assert each['size'] == [*found.size[::-1]]
        assert len(each['objects']) == len(found) > 0
        for row, one in enumerate(each['objects']):
            np.testing.assert_allclose(one['box'], found.boxes[row], atol=0.05)
            assert one['score'] == pytest.approx(found.scores[row], abs=1e-3)
            assert (one['class'], one['name']) == (found.classes[row], str(found.classes[row]))
            mask = mask_of(counts_of(one['segmentation']['counts']), *one['segmentation']['size'])
            assert (mask != found.mask(row)).mean() < 0.01
    with Image.open(folder / 'out' / 'A.png') as drawn, Image.open(folder / 'x.jpg') as figure:
        assert drawn.size == (640, round(640 * 160 / 224))
        assert figure.size[0] > 1000
    with pytest.raises(InputError, match=r'A\.png: is there already; remove it, or choose another --pictures'):
        main(words(folder, '--pictures', folder / 'out'))


def test_int8(folder, capsys):
    main(words(folder, '--precision', 'int8', '--least-score', '0.1'))
    assert 'the same detections: ' in capsys.readouterr().out


def test_refusals(net, folder, tmp_path):
    with pytest.raises(InputError, match=r'--figure x\.svg: the ending must be one of \.png \.jpg \.pdf'):
        main(words(folder, '--figure', 'x.svg'))
    with pytest.raises(InputError, match='no such file or folder'):
        main([str(tmp_path / 'none.png')])
    param = structural_parameters(net)['fpn.output2.conv.weight']
    kept = param.data().copy()
    param.set_data(mx.nd.full(kept.shape, np.nan))
    net.save_parameters(str(folder / 'broken.params'))
    param.set_data(kept)
    with pytest.raises(InputError, match='not finite; these weights are of no use'):
        main([*words(folder, '--json', tmp_path / 'x.json'), '--resume', str(folder / 'broken.params')])
    assert not [*tmp_path.iterdir()]
