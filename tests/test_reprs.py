"""What an interactive shell shows of a public object: one line that tells what it is and how it differs."""
import importlib
import inspect

import numpy as np
import pytest

from resnest.gluon import create_transform, get_model
from resnest.gluon.data import Evaluation, FolderSet, Loader, RecordSet, training_transform
from resnest.gluon.distributed import Job
from resnest.gluon.tasks.classification import Classification, ClassificationConfig
from resnest.gluon.tasks.classification.matching import Matched

from .conftest import TINY, encoded

ROOMS = ('', '.nn', '.data', '.models', '.distributed', '.inference', '.training', '.tasks.classification',
         '.tasks.segmentation', '.tasks.pose')


@pytest.mark.parametrize('room', ROOMS)
def test_no_public_class_shows_an_address(room):
    door = importlib.import_module('resnest.gluon' + room)
    classes = [found for found in (getattr(door, name) for name in door.__all__) if inspect.isclass(found)]
    assert [found for found in classes if found.__repr__ is object.__repr__] == []


def test_each_says_how_it_differs(tiny, squares, tmp_path):
    for name in ('left', 'right'):
        (tmp_path / 'train' / name).mkdir(parents=True)
        (tmp_path / 'train' / name / 'a.png').write_bytes(encoded(np.zeros((8, 8, 3), 'uint8')))
    with RecordSet(squares, 'val') as records:
        folder = FolderSet(tmp_path, 'train')
        crop = Evaluation(32, 0.8)
        plain = training_transform('standard', 32, 'bicubic', crop)
        erasing = training_transform('randaugment', 32, 'bilinear', crop, (3, 5), 0.25, jitter=0.1)
        task = Classification(tiny(), tiny(), ClassificationConfig(), None)
        shown = {
            records: f"RecordSet('{squares}', 'val', records=37, shards=3, classes=4, decoding='stored')",
            folder: f"FolderSet('{tmp_path}', 'train', images=2, classes=2, decoding='upright')",
            Matched(folder, [3, 1]): f'Matched({folder}, 2 classes by name)',
            Loader(records, crop, [[0, 1], [2]], 4, workers=1): f'Loader({records}, {crop}, batches=2, workers=1)',
            crop: "Evaluation(32, ratio=0.8, interpolation='bilinear')",
            plain: "Training(32, 'bicubic', policy=None, hflip=0.5, scale=(0.08, 1.0), ratio=(0.75, 1.333), "
                   'jitter=0.4)',
            erasing: "Erasing(Training(32, 'bilinear', policy=RandAugment(count=3, magnitude=5), hflip=0.5, "
                     'scale=(0.08, 1.0), ratio=(0.75, 1.333), jitter=0.1), probability=0.25)',
            training_transform('autoaugment', 32, 'bilinear', crop).policy: 'AutoAugment()',
            create_transform(tiny()): f'PictureTransform({Evaluation(TINY.crop_size)})',
            Job(None): 'Job(rank=0, size=1, local_rank=0, local_size=1)',
            task: f'Classification({task.network!r}, {task.figures})',
            task.figures: 'Figures(val_loss, train_top1, top1, top5; best: top1)',
        }
        assert list(map(repr, shown)) == list(shown.values())


def test_a_segmentation_network():
    net = get_model('deeplab_resnest50_ade', base='resnest14', classes=3, aux=False)
    assert repr(net) == 'SegmentationNet(deeplab_resnest50_ade, base=resnest14, classes=3, dilation=4, aux=False)'
