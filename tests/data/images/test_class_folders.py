"""Folders of images: one set of rules, whether they are prepared or read as they are."""
import hashlib
import os
import subprocess

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.data import Evaluation, FolderSet, Loader, RecordSet, find_pictures
from resnest.gluon.data.images.class_folders import IMAGE_SUFFIXES, image_folder, images_below
from resnest.gluon.data.images.holding_out import held_out as indices_held_out
from resnest.gluon.data.images.samples import Samples
from resnest.gluon.data.preparing.imagenet import find_source
from resnest.gluon.data.preparing.preparation import Options, prepare

from ...conftest import encoded


def picture(number):
    return encoded(np.full((5, 5, 3), number, dtype=np.uint8))


def fill(root, *names):
    """Write a picture to each name; its grey is the place of the name."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(number))
    return root


def prepared(root):
    source = image_folder(root)
    samples = source.splits[list(source.splits)[-1]]
    return source.classes, [(samples.name(i), samples.read(i), samples.labels[i]) for i in range(len(samples))]


def read(root):
    records = FolderSet(root, 'val')
    folder = root / 'val' if (root / 'val').is_dir() else root
    return records.classes, [(os.path.relpath(records.where(i), folder), *records[i]) for i in range(len(records))]


BOTH = pytest.mark.parametrize('listed', [prepared, read])


@BOTH
def test_what_is_an_image_and_which_class_it_has(tmp_path, listed):
    """Nested, hidden, of unknown suffix, with a suffix in upper case, and not in alphabetical order on the disk."""
    names = ['b/2.PNG', 'b/10.Jpeg', 'a/z.jpg', 'a/deep/er/x.JPEG', 'a/deep/y.webp', 'Z/1.tiff']
    fill(tmp_path, *names)
    hidden = ['b/.3.png', 'b/.git/4.png', '.cache/5.png', 'b/6.txt', 'b/png', 'b/7.png.part', '.DS_Store', 'readme.txt']
    fill(tmp_path, *hidden)
    classes, found = listed(tmp_path)
    assert classes == ['Z', 'a', 'b']
    wanted = ['Z/1.tiff', 'a/z.jpg', 'a/deep/y.webp', 'a/deep/er/x.JPEG', 'b/10.Jpeg', 'b/2.PNG']
    assert found == [(name, picture(names.index(name)), classes.index(name[0])) for name in wanted]


def test_no_picture_is_silently_passed_over(tmp_path):
    """What Pillow reads is an image, whatever its ending; of what it does not read, a line tells."""
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    for label in 'ab':
        (tmp_path / label).mkdir()
        for suffix, kind in (('jfif', 'JPEG'), ('jpe', 'JPEG'), ('mpo', 'MPO'), ('jp2', 'JPEG2000'), ('apng', 'PNG'),
                             ('pgm', 'PPM'), ('tga', 'TGA')):
            (tmp_path / label / f'1.{suffix}').write_bytes(encoded(pixels, kind))
        for suffix in ('dng', 'CR2', 'nef', 'arw'):
            (tmp_path / label / f'2.{suffix}').write_bytes(encoded(pixels, 'TIFF'))     # raw: a thumbnail
    records = FolderSet(tmp_path, 'val')
    (images, _), = Loader(records, Evaluation(4, 1.0), [np.arange(14)], 2, 0)
    assert images.shape == (14, 4, 4, 3)
    assert '8 pictures are left out' in records.note
    assert '.arw .cr2 .dng .nef' in records.note


@BOTH
def test_every_suffix(tmp_path, listed):
    names = [f'{label}/x{number}{suffix}' for label in 'ab' for number, suffix in enumerate(IMAGE_SUFFIXES)]
    assert sorted(name for name, _, _ in listed(fill(tmp_path, *names))[1]) == sorted(names)


@BOTH
def test_train_tells_the_classes_of_val(tmp_path, listed):
    """A class without validation images does not shift the labels of the others."""
    fill(tmp_path, 'train/a/1.png', 'train/b/1.png', 'train/c/1.png', 'val/c/1.png', 'val/a/1.png')
    assert listed(tmp_path) == (['a', 'b', 'c'], [('a/1.png', picture(4), 0), ('c/1.png', picture(3), 2)])


@BOTH
def test_linked_classes_and_images_are_read(tmp_path, listed):
    fill(tmp_path / 'disk', 'x/1.png')
    fill(tmp_path / 'in', 'a/1.png')
    (tmp_path / 'in/b').symlink_to(tmp_path / 'disk/x')
    (tmp_path / 'in/a/2.png').symlink_to(tmp_path / 'disk/x/1.png')
    assert [name for name, _, _ in listed(tmp_path / 'in')[1]] == ['a/1.png', 'a/2.png', 'b/1.png']


@BOTH
@pytest.mark.parametrize('names, wanted', [
    (['train/a/1.jpg', 'train/b/1.jpg', 'val/1.JPEG', 'val/2.jpg'], r'val: flat: 1\.JPEG and 1 more .* label 0'),
    (['ILSVRC2012_val_00000001.JPEG'], 'flat'), (['a/1.jpg', 'b/1.jpg', '3.jpg'], r'flat: 3\.jpg and 0 more'),
    (['train/a/1.jpg', 'train/b/1.jpg', 'val/all/1.jpg'], 'val/all: a class that .*train does not have'),
    (['a/1.jpg', 'b/x.txt'], r'b: a class without images \(\.jpeg'), (['a/1.jpg', 'b/.hidden/1.jpg'], 'b: a class'),
    (['train/a/1.jpg', 'train/b/1.jpg', 'val/a/1.jpg', 'val/b/.1.jpg'], 'val/b: a class without images'),
    (['x.txt'], 'no class folders'), (['.a/1.jpg', '.b/1.jpg'], 'no class folders'),
    (['images/1.jpg', 'images/2.jpg'], 'images is the only folder, so every image would get label 0')])
def test_refused(tmp_path, listed, names, wanted):
    with pytest.raises(InputError, match=wanted):
        listed(fill(tmp_path, *names))


@BOTH
def test_links_in_a_circle_and_special_files(tmp_path, listed):
    fill(tmp_path, 'a/1.png', 'b/1.png')
    (tmp_path / 'a/again').symlink_to(tmp_path)
    with pytest.raises(InputError, match='a/again/a: a link that leads back|a/again: a link that leads back'):
        listed(tmp_path)
    (tmp_path / 'a/again').unlink()
    os.mkfifo(tmp_path / 'a/pipe.png')          # reading it would wait for ever
    with pytest.raises(InputError, match=r'a/pipe\.png: not a plain file'):
        listed(tmp_path)


@BOTH
def test_very_deep_folders(tmp_path, listed):
    """1,100 of them were a RecursionError."""
    fill(tmp_path, 'a/1.png', 'b/' + 'd/' * 99 + '1.png')
    assert len(listed(tmp_path)[1]) == 2
    below = tmp_path / 'a'
    for _ in range(1100):
        below = below / 'd'
        below.mkdir()
    with pytest.raises(InputError, match='more than 100 folders deep') as error:
        listed(tmp_path)
    assert len(str(error.value)) < 500
    subprocess.run(['rm', '-r', tmp_path / 'a'], check=True)        # pytest's own way is recursive


@BOTH
@pytest.mark.parametrize('name', ['a\nb', '\x1b[31m', '\udcff', 'é' * 101])
def test_classes_that_cannot_be_shown(tmp_path, listed, name):
    fill(tmp_path, f'{name}/1.png', 'ok/1.png')
    with pytest.raises(InputError, match='is no class name: give it one in UTF-8') as error:
        listed(tmp_path)
    assert len(str(error.value).splitlines()) == 1


@BOTH
def test_links_that_lead_nowhere(tmp_path, listed):
    fill(tmp_path, 'a/1.png', 'b/1.png')
    (tmp_path / 'c').symlink_to('c')
    (tmp_path / 'a/again').symlink_to('again')
    assert len(listed(tmp_path)[1]) == 2        # no folders, and no images by their names
    for target in ('nowhere', '2\n.png'):
        (tmp_path / 'a/2\n.png').symlink_to(target)
        with pytest.raises(InputError, match=r'a/2\\n\.png: cannot be read') as error:
            listed(tmp_path)
        assert len(str(error.value).splitlines()) == 1
        (tmp_path / 'a/2\n.png').unlink()


def test_a_folder_that_cannot_be_listed_is_not_passed_over(tmp_path, monkeypatch):
    fill(tmp_path, 'a/1.png', 'b/in/1.png')
    real = os.scandir

    def scandir(folder):
        if str(folder).endswith('b/in'):
            raise PermissionError(13, 'Permission denied', folder)
        return real(folder)

    monkeypatch.setattr(os, 'scandir', scandir)
    with pytest.raises(InputError, match='b/in: cannot be listed: Permission denied'):
        list(images_below(tmp_path / 'b', []))


def test_missing_folders(tmp_path):
    with pytest.raises(InputError, match='nothing: no such folder'):
        FolderSet(tmp_path / 'nothing', 'val')
    fill(tmp_path, 'train/a/1.png', 'train/b/1.png')
    with pytest.raises(InputError, match=r'val: missing, but there is .*train'):
        FolderSet(tmp_path, 'val')


def test_a_folder_a_class_alone_is_all_training_data(tmp_path):
    manifest = prepare(find_source('.', fill(tmp_path / 'in', 'cat/x.png', 'dog/inner/x.png')), tmp_path, Options())
    assert (manifest['classes'], list(manifest['splits'])) == (['cat', 'dog'], ['train'])
    records = RecordSet(tmp_path / 'rec', 'train')
    assert sorted(records[i] for i in range(2)) == [(picture(0), 0), (picture(1), 1)]


def test_shards_do_not_go_among_the_images(tmp_path):
    """They would be taken for a class by the next run, which is to go on."""
    fill(tmp_path, 'cat/x.png', 'dog/x.png')
    for target in (tmp_path, tmp_path / 'dog', tmp_path / 'new'):
        with pytest.raises(InputError, match='would lie among the images'):
            prepare(image_folder(tmp_path), target, Options())
    assert sorted(path.name for path in tmp_path.iterdir()) == ['cat', 'dog']
    fill(tmp_path / 'both', 'train/cat/x.png', 'train/dog/x.png')
    prepare(image_folder(tmp_path / 'both'), tmp_path / 'both', Options())


def test_the_loader_reads_folders_as_it_reads_shards(tmp_path):
    fill(tmp_path / 'val', 'a/0.PNG', 'b/0.PNG', 'b/1.PNG')
    for root in (tmp_path, tmp_path / 'val'):
        (images, labels), = Loader(FolderSet(root, 'val'), Evaluation(5, 1.0), [np.arange(3)], 2, workers=1)
        assert (labels.tolist(), images[:, 0, 0, 0].tolist()) == ([0, 1, 1], [0, 1, 2])
    (tmp_path / 'val/b/bad.jpg').write_text('no image')
    records = FolderSet(tmp_path, 'val')
    with pytest.raises(InputError, match=r'val/b/bad\.jpg: not a readable image'):
        list(Loader(records, Evaluation(5), [np.arange(4)], 2, workers=1))
    (tmp_path / 'val/b/0.PNG').unlink()
    with pytest.raises(InputError, match=r'val/b/0\.PNG: No such file'):
        list(Loader(records, Evaluation(5), [np.arange(4)], 2, workers=1))


def names_of(records):
    return [os.path.relpath(records.where(i), records.where(i).split('/cat/')[0].split('/dog/')[0])
            for i in range(len(records))]


def held_out(root, fraction=0.3, seed=0):
    return {split: names_of(FolderSet(root, split, fraction, seed)) for split in ('train', 'val')}


def test_a_part_of_each_class_is_held_out(tmp_path):
    names = [f'{label}/{number}.png' for label, count in (('cat', 10), ('dog', 2)) for number in range(count)]
    found = held_out(fill(tmp_path, *names))
    assert sorted(found['train'] + found['val']) == sorted(names)
    # By hand: a hash of seed and name as a number from 0 to 1.
    places = {name: int(hashlib.sha256(f'0\0{name}'.encode()).hexdigest(), 16) / 2 ** 256 for name in names}
    assert [name for name in found['val'] if name < 'd'] == [name for name in names[:10] if places[name] < 0.3]
    assert [name for name in found['val'] if name > 'd'] == [min(names[10:], key=places.get)]
    records = FolderSet(tmp_path, 'val', 0.3)
    assert records.classes == ['cat', 'dog']
    assert [records[i][0] for i in range(len(records))] == [picture(names.index(name)) for name in found['val']]
    assert found == held_out(tmp_path) == held_out(tmp_path / '.')
    assert found != held_out(tmp_path, seed=1)
    # At least one image on either side, whatever the share.
    for fraction, wanted in ((0.001, (1, 1)), (0.999, (9, 1))):
        val = held_out(tmp_path, fraction)['val']
        assert tuple(sum(name.startswith(label) for name in val) for label in ('cat', 'dog')) == wanted


def test_what_is_held_out_does_not_depend_on_other_images(tmp_path):
    """As a folder grows each image stays where it was."""
    names = [f'{label}/{number}.png' for label in ('cat', 'dog') for number in range(10)]
    before = held_out(fill(tmp_path / 'train', *names).parent)
    fill(tmp_path / 'train', 'dog/new.png', *(f'ant/{number}.png' for number in range(5)))
    after = held_out(tmp_path)
    assert [name for name in after['val'] if name.startswith('cat')] == [
        name for name in before['val'] if name.startswith('cat')]
    ranked = [{name for name in held_out(tmp_path, fraction)['val'] if name.startswith('cat')}
              for fraction in np.arange(0.1, 1, 0.1)]
    assert all(less <= more for less, more in zip(ranked, ranked[1:]))


def test_nothing_that_was_trained_on_is_held_out_in_a_folder_that_grows():
    def sides(count):
        samples = Samples('.')
        for number in range(count):
            samples.add(f'a/{number}.jpg', 100, 0)
        return indices_held_out(samples, ['a'], 0.1, 0)

    trained = set()
    for count in (2, 3, 5, 9, 14, 15, 20, 25, 60, 200, 2000):
        found = sides(count)
        assert not trained & {*found['val']}
        trained |= {*found['train']}
    assert len(found['val']) == pytest.approx(200, abs=40)      # three times the deviation of a binomial distribution


def test_a_folder_is_known_by_names_and_bytes(tmp_path):
    """Names that count and sizes that all are alike, as of BMPs, are those of another folder, too."""
    names = [f'{label}/{number:04d}.png' for label in 'ab' for number in range(30)]
    sample = FolderSet(fill(tmp_path / 'one', *names), 'train', 0.1).sample()
    assert len(sample) == 32
    fill(tmp_path / 'one', *(f'{label}/{number:04d}.jpg' for label in 'abc' for number in range(200)))      # it grows
    assert FolderSet(tmp_path / 'one', 'val').is_sampled_from(sample)
    assert not FolderSet(tmp_path / 'one', 'val').is_sampled_from([])
    other = fill(tmp_path / 'two', *names)
    for path in other.rglob('*.png'):
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert not FolderSet(other, 'val').is_sampled_from(sample)


def test_what_cannot_be_held_out(tmp_path):
    fill(tmp_path, 'a/1.png', 'a/2.png', 'b/1.png')
    with pytest.raises(InputError, match='/b: a single image, of which no part can be held out'):
        FolderSet(tmp_path, 'val', 0.1)
    for fraction in (0.0, 1.0, float('nan')):
        with pytest.raises(InputError, match='--val-fraction must be above 0 and below 1'):
            FolderSet(tmp_path, 'val', fraction)
    fill(tmp_path / 'both', 'train/a/1.png', 'train/b/1.png', 'val/a/1.png')
    for work in (lambda: FolderSet(tmp_path / 'both', 'train', 0.1),
                 lambda: image_folder(tmp_path / 'both', 0.1)):
        with pytest.raises(InputError, match='has a validation split already, .*/both/val; leave out --val-fraction'):
            work()


def test_preparing_holds_out_what_reading_holds_out(tmp_path):
    root = fill(tmp_path / 'in', *(f'{label}/{number}.png' for label in ('cat', 'dog') for number in range(7)))
    manifest = prepare(find_source('.', root, val_fraction=0.3, seed=5), tmp_path, Options(), seed=5)
    assert manifest['options']['val_fraction'] == 0.3
    for split in ('train', 'val'):
        shards, folders = RecordSet(tmp_path, split), FolderSet(root, split, 0.3, 5)
        assert sorted(shards[i] for i in range(len(shards))) == sorted(folders[i] for i in range(len(folders)))
    for fraction in (None, 0.2):
        with pytest.raises(InputError, match='was begun with options.val_fraction 0.3, now it is'):
            prepare(find_source('.', root, val_fraction=fraction, seed=5), tmp_path, Options(), seed=5)


def test_formats_that_are_not_decoded_are_told(tmp_path, capsys):
    """They were passed over without a word."""
    fill(tmp_path, 'a/1.png', 'a/IMG_2.HEIC', 'a/deep/3.svg', 'b/1.png', 'b/4.avif', 'b/notes.txt')
    line = (f'{tmp_path}: 3 pictures are left out, IMG_2.HEIC the first: .avif .heic .svg is not decoded here; convert '
            f'to JPEG or PNG')
    assert FolderSet(tmp_path, 'val').note == line
    assert image_folder(tmp_path).notes == [line]
    told = []
    assert len(find_pictures([tmp_path], told.append)) == 2
    assert told == [line]
    (tmp_path / 'b/1.png').unlink()
    with pytest.raises(InputError, match=r'/b: a class without images that can be decoded here, only such as 4\.avif'):
        FolderSet(tmp_path, 'val')
    with pytest.raises(InputError, match=r'/b: 4\.avif is left out: \.avif is not decoded'):
        find_pictures([tmp_path / 'b'])
    assert FolderSet(fill(tmp_path / 'plain', 'a/1.png', 'b/1.png'), 'val').note is None
