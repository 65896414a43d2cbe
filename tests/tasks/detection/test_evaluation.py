"""Figures of a whole data set, with a detector that finds what is told: ranks, scales, mirror images, segments."""
import threading
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.distributed import current
from resnest.gluon.tasks.detection import evaluation, get_model
from resnest.gluon.tasks.detection.data import open_coco
from resnest.gluon.tasks.detection.finding import Detections

from ...data.coco import little_coco

SPEC = SimpleNamespace(short_side=50, long_side=100, overlap=0.5, detections=100)


@pytest.fixture
def records(tmp_path):
    found = little_coco.instances()
    found['annotations'] = [each for each in found['annotations'] if each['bbox'][2]]
    little_coco.write_panoptic(little_coco.write(tmp_path, found))
    return open_coco('val', tmp_path, masks=True, kinds=True)


@pytest.fixture
def seen(records, monkeypatch):
    """Have pictures be known by their pixels, mirrored or not; a list of the sides that they were seen with."""
    known, sides_seen, maps = {}, [], records.panoptic
    for index in range(len(records)):
        pixels, truth = records.read(index)
        for mirrored in (False, True):
            known[(pixels[:, ::-1] if mirrored else pixels).tobytes()] = index, mirrored, truth

    def each_detections(net, pictures, batch_size, short_side, long_side, categories):
        for picture in pictures:
            sides_seen.append((short_side, long_side))
            index, mirrored, truth = known[picture.tobytes()]
            boxes, width = truth.boxes.copy(), picture.shape[1]
            if mirrored:
                boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
            boxes[:, 2] += net.error * (index == 0)
            place = records.place(index)
            ids, kinds, _ = maps.segments(place)
            panoptic = maps.ids(place, *picture.shape[:2]), [
                {'id': number, 'category_id': kind} for number, kind in zip(ids.tolist(), kinds.tolist())]
            yield Detections(boxes, np.linspace(0.9, 0.5, len(boxes), dtype=np.float32), truth.classes,
                             picture.shape[:2], np.ones((len(boxes), 28, 28), np.float32), panoptic)
    monkeypatch.setattr(evaluation, 'each_detections', each_detections)
    return sides_seen


class Rank:
    """One of two ranks, which are threads."""
    size = 2

    def __init__(self, rank, shared, barrier):
        self.rank, self._shared, self._barrier = rank, shared, barrier

    def _all(self, value):
        self._shared[self.rank] = value
        self._barrier.wait(20)
        found = [self._shared[0], self._shared[1]]
        self._barrier.wait(20)
        return found

    def gather_bytes(self, data, name):
        return self._all(data)

    def total(self, values, name):
        return sum(self._all(values))

    def from_first(self, make, name):
        return self._all(make() if self.rank == 0 else None)[0]


def test_two_ranks_have_the_figures_of_one(records, seen):
    net = SimpleNamespace(spec=SPEC, error=4)
    alone = evaluation.evaluate(net, records, current())
    assert set(seen) == {(50, 100)}
    shared, barrier, found = {}, threading.Barrier(2), {}

    def run(rank):
        found[rank] = evaluation.evaluate(net, records, Rank(rank, shared, barrier))
    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert found[0] == found[1] == alone
    assert alone['seen'] == 4
    assert alone['panoptic']['pq'] == 100
    assert 50 < alone['box']['ap'] < 100
    assert alone['box']['ap50'] == pytest.approx(100)
    assert 0 < alone['mask']['ap'] < alone['box']['ap']
    perfect = evaluation.evaluate(SimpleNamespace(spec=SPEC, error=0), records, current(), limit=3)
    assert perfect['seen'] == 3
    assert perfect['box']['ap'] == pytest.approx(100)


def test_several_scales_and_mirror_images_are_merged(records, seen):
    net, counted = SimpleNamespace(spec=SPEC, error=0), []
    records.panoptic = None
    found = evaluation.evaluate(net, records, current(), short_sides=[40, 60], flip=True, progress=counted.append)
    assert found['box']['ap'] == pytest.approx(100)
    assert found['box']['ar_100'] == pytest.approx(100)
    assert found['panoptic'] is None
    assert sorted(set(seen)) == [(40, 80), (60, 120)]
    assert (len(seen), sum(counted)) == (16, 4)


@pytest.mark.parametrize('batch_size', [1, 3])
def test_what_cannot_be_read_is_left_out(records, seen, batch_size):
    """As if it were not there: the pictures after it are scored against their own truth."""
    net, broken = SimpleNamespace(spec=SPEC, error=0), records.folder / records.name(1)
    broken.write_bytes(broken.read_bytes()[:90])
    with pytest.raises(InputError, match='0002.png.*; remove it from the data'):
        evaluation.evaluate(net, records, current())
    looked = evaluation.look_at(net, records, current(), batch_size=batch_size, skip_bad=True)
    assert (looked.count, looked.unread) == (3, [1])
    found = evaluation.measure(looked, current())
    assert (found['seen'], found['panoptic']['pq']) == (3, 100)
    for part in 'box', 'mask':
        assert found[part]['ar_100'] == pytest.approx(found[part]['ap'])
    assert found['box']['ap'] == pytest.approx(100)


def test_segments_have_the_numbers_of_the_data(records):
    """As in training, where nothing describes the network: 92 and 184, which it does not know by itself."""
    net = get_model('panoptic_cascade_rcnn_fpn_resnest200_3x', base='resnest14', stem_width=8, classes=3, kinds=3,
                    channels=8, box_units=8, box_convolutions=0, mask_convolutions=1, short_side=33, stuff_area=1,
                    proposals=9)
    net.initialize()
    net.semantic_head.logits.bias.set_data(mx.nd.array([-9, 0, 9]))     # 184 everywhere
    counts = evaluation.look_at(net, records, current()).segments
    assert counts[-1, 1:3].sum() == 4       # right or wrong
    assert counts[-2, 1:3].sum() == 0


def test_pictures_without_an_annotation_are_refused(records):
    records._chosen = np.array([3])
    with pytest.raises(InputError, match='no annotations of the 1 pictures'):
        evaluation.evaluate(SimpleNamespace(spec=SPEC), records, current())
