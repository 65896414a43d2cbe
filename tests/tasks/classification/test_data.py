"""Training from class folders and from the shards that are prepared from them: the same pictures, the same weights."""
import io
import shutil

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data import (
    Evaluation,
    FolderSet,
    Loader,
    RecordSet,
    find_pictures,
    open_pair,
    read_picture,
    write_shards,
)
from resnest.gluon.data.preparing.imagenet import find_source
from resnest.gluon.data.preparing.preparation import Options, prepare
from resnest.gluon.inference.calibration_images import calibration_records
from resnest.gluon.tasks.classification import ClassificationConfig, train
from resnest.gluon.tasks.classification.names import class_names
from resnest.gluon.training import launch

from ...conftest import encoded, read_json, script_here

SMALL = {'model': 'resnest14', 'model_options': {'blocks': [1, 1, 1, 1], 'stem_width': 8, 'bottleneck_width': 8},
         'input_size': 32, 'batch_size': 4, 'num_epochs': 1, 'no_cuda': True}


def phone(rng, orientation):
    """A large JPEG of smooth noise, as a telephone stores one that was held that way."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((320, 240), Image.BICUBIC).save(
        buffer, 'JPEG', exif=exif, quality=95)
    return buffer.getvalue()


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Pictures that used to be read one way here and another way there: turned, transparent, of 16 bits."""
    folder, rng = tmp_path_factory.mktemp('data') / 'photos', np.random.default_rng(0)
    for label in ('cat', 'dog'):
        (folder / label).mkdir(parents=True)
        for number in range(1, 9):
            (folder / label / f'{number}.jpg').write_bytes(phone(rng, number))
        icon = np.asarray(Image.fromarray(rng.integers(0, 256, (4, 4, 4), dtype=np.uint8)).resize((60, 80)))
        (folder / label / 'icon.png').write_bytes(encoded(icon))
        (folder / label / 'wide.png').write_bytes(encoded(icon[..., 0].astype('uint16') * 257))
    return folder


@pytest.mark.parametrize('resize', [None, 100])
def test_all_see_what_classifying_sees(photos, tmp_path, resize):
    """Verifying prepared pictures said 100 %, classifying the same ones 0."""
    manifest = prepare(find_source('.', photos), tmp_path, Options(resize=resize, check_images=True))
    assert manifest['decoding'] == RecordSet(tmp_path, 'train').decoding == 'upright'
    crop = Evaluation(64)
    wanted = [read_picture(path, crop) for path in find_pictures([photos])]
    for records in (FolderSet(photos, 'val'), RecordSet(tmp_path, 'train')):
        images = np.concatenate([batch for batch, _ in Loader(records, crop, [np.arange(20)], 2)])
        shards = isinstance(records, RecordSet)
        for found, place in zip(images, source_places(records) if shards else range(20)):
            off = np.abs(found.astype(int) - wanted[place]).mean()
            # Shrinking resamples twice; a picture that lies otherwise, or on black, is off by 40 and more.
            assert off < 6 if resize and shards else off == 0


def source_places(records):
    """The place in the source of each record, which is its id."""
    shard = mx.recordio.MXIndexedRecordIO(str(records.files[0].with_suffix('.idx')), str(records.files[0]), 'r')
    return [mx.recordio.unpack(shard.read_idx(index))[0].id for index in range(len(records))]


def test_class_folders_train_as_shards_of_the_same_order_do(photos, tmp_path, monkeypatch):
    """All that the trainer gets of the data: the same batches of every epoch, from any step on, and of validation."""
    sets = [FolderSet(photos, split, 0.2) for split in ('train', 'val')]
    write_shards(tmp_path, {split: [records[i] for i in range(len(records))]
                            for split, records in zip(('train', 'val'), sets)}, ['cat', 'dog'], decoding='upright')
    tasks = []
    monkeypatch.setattr(launch, 'fit', lambda task, *_: tasks.append(task))
    for settings in ({'data_dir': photos, 'val_fraction': 0.2}, {'rec_train': tmp_path, 'num_workers': 0}):
        train(ClassificationConfig(save_dir=tmp_path / 'run', **SMALL, **settings))
    for loaders in ([task.batches(0) for task in tasks], [task.batches(3, start=2) for task in tasks],
                    [task.validation() for task in tasks]):
        found, wanted = (list(loader) for loader in loaders)
        assert len(found) == len(wanted) == len(loaders[0]) > 0
        for (images, labels), (others, theirs) in zip(found, wanted):
            np.testing.assert_array_equal(images, others)
            np.testing.assert_array_equal(labels, theirs)


def test_a_folder_without_val_has_a_tenth_held_out_and_says_so(photos, tmp_path, capsys):
    config = ClassificationConfig(data_dir=photos, save_dir=tmp_path, **{**SMALL, 'num_epochs': 3})
    train(config, print_config=True)
    found = capsys.readouterr()
    assert 'val_fraction: 0.1' in found.out
    assert found.err.strip() == (f'{photos}: no val/ in it, so 3 of 20 images, some of each class, are held out for '
                                 f'validation (--val-fraction 0.1)')
    assert 'steps_per_epoch: 4' in found.out
    # Beside val/ there is nothing to hold out.
    both = tmp_path / 'both'
    for split in ('train', 'val'):
        (both / split).parent.mkdir(exist_ok=True)
        (both / split).symlink_to(photos)
    train(ClassificationConfig(data_dir=both, save_dir=tmp_path, **SMALL), print_config=True)
    found = capsys.readouterr()
    assert 'val_fraction: null' in found.out
    assert found.err == ''


def test_contradictions_about_the_data(photos, tmp_path):
    for words, wanted in (
            ({'data_dir': 'a', 'rec_val': 'b'}, '--data-dir is a folder of images, --rec-train and --rec-val are'),
            ({'rec_train': 'a', 'val_fraction': 0.1}, '--val-fraction is for --data-dir')):
        with pytest.raises(InputError, match=wanted):
            ClassificationConfig(**words)
    with pytest.raises(InputError, match='--sharding local is for shards'):
        train(ClassificationConfig(data_dir=photos, sharding='local', save_dir=tmp_path, **SMALL))
    with pytest.raises(InputError, match='no such folder'):
        train(ClassificationConfig(data_dir=tmp_path / 'none', save_dir=tmp_path, **SMALL))


def test_training_counts_what_cannot_be_read_of_validation(photos, tmp_path, capsys):
    """A damaged validation image ended the run after its first epoch, whatever --skip-bad said."""
    for split in ('train', 'val'):
        shutil.copytree(photos, tmp_path / 'in' / split)
    path = tmp_path / 'in/val/cat/1.jpg'
    path.write_bytes(path.read_bytes()[:2000])
    recipe = {**SMALL, 'data_dir': tmp_path / 'in', 'no_cuda': True}
    assert train(ClassificationConfig(**recipe, save_dir=tmp_path / 'out', skip_bad=True)) == 0
    assert capsys.readouterr().out.count('1 bad left out of validation') == 2      # epoch, end
    summary = read_json(tmp_path / 'out/summary.json')
    assert (summary['seen'], summary['val_skipped']) == (19, 1)
    path.unlink()
    train(ClassificationConfig(**recipe, save_dir=tmp_path / 'without'))
    without = read_json(tmp_path / 'without/summary.json')
    assert [without[name] for name in ('top1', 'val_loss')] == pytest.approx(
        [summary[name] for name in ('top1', 'val_loss')])


def test_the_folder_that_preparing_was_given_is_enough(photos, tmp_path):
    """--rec-train prepared finds prepared/rec, and the validation shards there."""
    result = script_here('dataset/prepare_imagenet.py', '--image-folder', photos, '--target-dir', tmp_path / 'prepared',
                         '--val-fraction', 0.2)
    assert result.returncode == 0, result.stderr
    train_set, val_set, classes = open_pair(tmp_path / 'prepared')
    assert (len(train_set), len(val_set), classes) == (15, 5, 2)
    assert train_set.files[0].parent == val_set.files[0].parent == tmp_path / 'prepared/rec'
    assert class_names(2, tmp_path / 'prepared') == ['cat', 'dog']
    for source, wanted in ((tmp_path / 'prepared', 15), (photos, 20)):
        records, _ = calibration_records(str(source))
        assert (len(records), records.decoding) == (wanted, 'upright')
    prepare(find_source('.', photos), tmp_path / 'whole', Options())
    for source in (tmp_path / 'whole', train_set.files[0]):
        with pytest.raises(InputError, match='no validation shards; give --rec-val, or prepare the data with --val-fr'):
            open_pair(source)
    with pytest.raises(InputError, match='no such file or folder'):
        open_pair(tmp_path / 'nothing')
