"""Batches of images and maps: the same on any number of workers and ranks, and what does not fit is named."""
import numpy as np
import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data import training_batches
from resnest.gluon.tasks.segmentation.data import MapLoader, RandomCrop, Whole, open_maps

from . import little_sets
from .little_sets import draw, save, write

TRANSFORM = RandomCrop(16, 24)


@pytest.fixture(scope='module')
def records(tmp_path_factory):
    root = tmp_path_factory.mktemp('scenes')
    write(root, 'images/{number}.png', 'maps/{number}.png', (12,))
    return open_maps(root, splits=['train'])[0]


def epoch(records, workers, ranks=1, **settings):
    """One epoch of batches of 12 / ranks, the ranks' parts joined."""
    loaders = [MapLoader(records, TRANSFORM, training_batches(12, 4 // ranks, rank, ranks), workers, **settings)
               for rank in range(ranks)]
    steps = zip(*loaders)
    return [np.concatenate(part) for step in steps for part in zip(*step)]


def test_the_same_pixels_on_any_number_of_workers_and_ranks(records):
    wanted = epoch(records, 0)
    assert len(wanted) == 2 * 3
    for workers, ranks in ((3, 1), (0, 2), (2, 4), ((2, 'process'), 1)):
        for one, other in zip(wanted, epoch(records, workers, ranks)):
            assert (one == other).all()
    for settings in ({'seed': 1}, {'epoch': 1}):
        assert any((one != other).any() for one, other in zip(wanted, epoch(records, 0, **settings)))
    assert (wanted[0].dtype, wanted[0].shape) == (np.uint8, (4, 16, 16, 3))
    assert (wanted[1].dtype, wanted[1].shape) == (np.int32, (4, 16, 16))


@pytest.mark.parametrize('name', ['ade20k', 'cityscapes', 'pascal_voc'])
def test_labels_of_published_maps(name, tmp_path):
    """Against a table from the papers, value by value."""
    getattr(little_sets, name)(tmp_path)
    _, records = open_maps(tmp_path)
    drawn = [draw(number, name) for number in ((1, 3, 4) if name == 'pascal_voc' else (3, 4))]
    classes = {'ade20k': {value: value - 1 for value in range(1, 151)},
               'cityscapes': {value: label for label, value in enumerate(
                   [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33])},
               'pascal_voc': {value: value for value in range(21)}}[name]
    wanted = np.vectorize(lambda value: classes.get(value, -1))(np.stack([values for _, values in drawn]))
    (images, labels), = MapLoader(records, Whole(), [range(len(drawn))])
    assert (images == np.stack([image for image, _ in drawn])).all()
    assert (labels == wanted).all()
    assert (labels == -1).any()


def changed(root, change, path='maps/1.png'):
    for number in range(3):
        image, values = draw(number)
        save(root / f'images/{number}.png', image)
        save(root / f'maps/{number}.png', values)
    (root / 'classes.txt').write_text('\n'.join('abcde'))
    change(root / path)
    return open_maps(root, splits=['train'])[0]


def _exif(path):
    image, exif = Image.open(path), Image.Exif()
    exif[0x0112] = 3
    image.save(path, exif=exif)


@pytest.mark.parametrize('change, path, wanted', [
    (lambda path: save(path, np.full((20, 24), 5, np.uint8)), 'maps/1.png', ['maps/1.png', 'value 5', 'out of range']),
    (lambda path: save(path, np.zeros((24, 20), np.uint8)), 'maps/1.png', ['maps/1.png', '20 x 24', '24 x 20']),
    (_exif, 'images/1.png', ['images/1.png', 'EXIF turns']), (_exif, 'maps/1.png', ['images/1.png', 'EXIF turns'])])
def test_what_does_not_fit_is_never_passed_over(change, path, wanted, tmp_path):
    records = changed(tmp_path, change, path)
    for skip_bad in (False, True):
        with pytest.raises(InputError) as refused:
            list(MapLoader(records, TRANSFORM, [[0, 1, 2]], skip_bad=skip_bad))
        for text in wanted:
            assert text in str(refused.value)


@pytest.mark.parametrize('path, data', [('maps/1.png', b'x'), ('images/1.png', b''), ('maps/1.png', None)])
def test_damaged_files_are_named_or_passed_over(path, data, tmp_path):
    records = changed(tmp_path, lambda path: path.write_bytes(path.read_bytes()[:50] if data is None else data), path)
    with pytest.raises(InputError, match=rf'{path}.*--skip-bad'):
        list(MapLoader(records, TRANSFORM, [[0, 1, 2]]))
    loader = MapLoader(records, TRANSFORM, [[0, 1, 2]], skip_bad=True)
    (images, labels), = loader
    assert (len(images), len(labels), len(loader.skipped)) == (3, 3, 1)
    assert path in loader.skipped[0]


def test_exif_turns_both_or_neither(tmp_path):
    records = changed(tmp_path, lambda path: [_exif(path), _exif(tmp_path / 'images/1.png')])
    (images, labels), = MapLoader(records, Whole(), [[0, 1]])
    image, values = draw(1)
    assert (images[1] == image[::-1, ::-1]).all()
    assert (labels[1] == np.where(values == 255, -1, values.astype(int))[::-1, ::-1]).all()


def test_whole_pictures_of_different_sizes_are_no_batch(tmp_path):
    def change(path):
        for name, pair in zip(('images', 'maps'), draw(1, size=(12, 8))):
            save(tmp_path / name / path.name, pair)

    records = changed(tmp_path, change)
    assert [images.shape for images, _ in MapLoader(records, Whole(), [[0], [1]])] == [(1, 20, 24, 3), (1, 12, 8, 3)]
    with pytest.raises(InputError, match='--batch-size 1'):
        list(MapLoader(records, Whole(), [[0, 1]]))
