"""scripts/dataset/prepare_imagenet.py on small tars in the official layout."""
import csv
import hashlib
import io
import re
import sys
import tarfile
import tracemalloc

import numpy as np
import pytest
from mxnet.recordio import MXIndexedRecordIO, unpack
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data import Evaluation, RecordSet
from resnest.gluon.data.images.decoding import opened
from resnest.gluon.data.images.samples import Samples
from resnest.gluon.data.preparing.imagenet import find_source
from resnest.gluon.data.preparing.preparation import Options, prepare

from ...conftest import ROOT, command, read_json, script, script_main
from . import ilsvrc

SCRIPT = 'dataset/prepare_imagenet.py'


def main(*words):
    """What the script does, in this process."""
    script_main(SCRIPT)([str(word) for word in words])


def run(source, target, seed=0, workers=2, **options):
    return prepare(find_source(source), target, Options(**options), seed, workers)


def files(folder):
    """Every file below a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def read_by_mxnet(folder, split):
    """(image, label, id) of each record, through mxnet's reader."""
    for path in sorted(folder.glob(f'{split}*.rec')):
        reader = MXIndexedRecordIO(str(path.with_suffix('.idx')), str(path), 'r')
        assert reader.keys == list(range(len(reader.keys)))
        for key in reader.keys:
            header, image = unpack(reader.read_idx(key))
            yield image, int(header.label), header.id


def read_by_tarfile(folder):
    """{split: images in the order of the tars}, through Python's tarfile."""
    train = []
    with tarfile.open(folder / ilsvrc.TRAIN) as outer:
        for member in outer:
            with tarfile.open(fileobj=outer.extractfile(member)) as inner:
                train += [(image.name, inner.extractfile(image).read()) for image in inner]
    with tarfile.open(folder / ilsvrc.VAL) as opened:
        return {'train': train, 'val': [(image.name, opened.extractfile(image).read()) for image in opened]}


def test_every_image_once_with_its_bytes_and_label(official, tmp_path):
    folder, made = official
    result = script(SCRIPT, '--download-dir', './', '--target-dir', tmp_path, '--num-shards', 3, '--with-rec',
                    '--num-thread', 2, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert '34 training and 9 validation images, 4 classes' in result.stdout
    manifest = read_json(tmp_path / 'rec/manifest.json')
    assert manifest['classes'] == sorted({wnid for _, wnid in made['train'].values()})
    assert manifest['words'] == [f'words of {wnid}, more' for wnid in manifest['classes']]
    extracted = read_by_tarfile(folder)
    for split in ('train', 'val'):
        found = list(read_by_mxnet(tmp_path / 'rec', split))
        assert sorted(number for _, _, number in found) == list(range(len(extracted[split])))
        for image, label, number in found:
            name, data = extracted[split][number]
            assert image == data == made[split][name][0]
            assert manifest['classes'][label] == made[split][name][1]
        assert [number for _, _, number in found] != sorted(number for _, _, number in found)
        assert len(RecordSet(tmp_path / 'rec', split)) == len(found) == manifest['splits'][split]['records']
        for entry in manifest['splits'][split]['shards']:
            data = (tmp_path / 'rec' / entry['file']).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (entry['bytes'], entry['sha256'])
    assert sorted(path.suffix for path in (tmp_path / 'rec').iterdir()) == ['.idx'] * 4 + ['.json'] + ['.rec'] * 4


def test_shards_are_shuffled_over_all_classes(official, tmp_path):
    run(official[0], tmp_path, num_shards=2)
    for shard in (tmp_path / 'rec').glob('train-*.rec'):
        assert len({label for _, label, _ in read_by_mxnet(tmp_path / 'rec', shard.stem)}) == 4


def test_png_and_cmyk_keep_their_bytes_and_decode_to_rgb(official, tmp_path):
    run(official[0], tmp_path)
    images = [image for image, _, _ in read_by_mxnet(tmp_path / 'rec', 'train')]
    kinds = {(Image.open(io.BytesIO(image)).format, Image.open(io.BytesIO(image)).mode) for image in images}
    assert kinds == {('JPEG', 'CMYK'), ('JPEG', 'RGB'), ('PNG', 'RGB')}
    for image in images:
        with opened(image, '', 'stored') as each:
            assert Evaluation(8)(each).shape == (8, 8, 3)


def test_resize_writes_rgb_jpegs_of_that_short_edge(official, tmp_path):
    run(official[0], tmp_path / 'resized', resize=16, quality=100)
    run(official[0], tmp_path / 'original')
    original = {number: image for image, _, number in read_by_mxnet(tmp_path / 'original/rec', 'train')}
    differences = []
    for image, _, number in read_by_mxnet(tmp_path / 'resized/rec', 'train'):
        small, large = Image.open(io.BytesIO(image)), Image.open(io.BytesIO(original[number]))
        assert (small.format, small.mode, min(small.size)) == ('JPEG', 'RGB', 16)
        wanted = np.asarray(large.convert('RGB').convert('L').resize(small.size, Image.LANCZOS), float)
        assert abs(small.width / small.height - large.width / large.height) < 0.1
        differences.append(np.abs(np.asarray(small.convert('L'), float) - wanted).mean())
    assert max(differences) < 6
    worse = run(official[0], tmp_path / 'worse', resize=16, quality=10)
    better = read_json(tmp_path / 'resized/rec/manifest.json')
    assert worse['splits']['train']['shards'][0]['bytes'] < better['splits']['train']['shards'][0]['bytes']


def test_the_number_of_workers_does_not_matter_and_the_seed_does(official, tmp_path):
    for name, seed, workers in (('a', 0, 1), ('b', 0, 3), ('c', 1, 3)):
        run(official[0], tmp_path / name, seed, workers, num_shards=5)
    assert files(tmp_path / 'a') == files(tmp_path / 'b')
    a, c = (sorted(read_by_mxnet(tmp_path / name / 'rec', 'train')) for name in 'ac')
    assert a == c
    first = 'rec/train-00000-of-00005.rec'
    assert (tmp_path / 'a' / first).read_bytes() != (tmp_path / 'c' / first).read_bytes()


def test_raw_folders_hold_the_originals_and_prepare_alike(official, tmp_path):
    folder, made = official
    run(folder, tmp_path / 'tars', raw=True)
    for split, images in made.items():
        written = files(tmp_path / 'tars' / split)
        assert written == {f'{wnid}/{name}': data for name, (data, wnid) in images.items()}
    main('--image-folder', tmp_path / 'tars', '--target-dir', tmp_path / 'folder')
    for split in made:
        a, b = (sorted((image, label) for image, label, _ in read_by_mxnet(tmp_path / name / 'rec', split))
                for name in ('tars', 'folder'))
        assert a == b


def test_raw_keeps_nested_and_long_names(official, copied, tmp_path):
    """Two images of one name in different folders of a class tar are two images."""
    rng = np.random.default_rng(0)
    names = ['x.JPEG', './a/x.JPEG', 'a/b/x.JPEG', f'{"n" * 250}.JPEG', 'é \n.JPEG']
    images = {name: ilsvrc.picture(rng) for name in names}
    classes = sorted({wnid for _, wnid in official[1]['train'].values()})
    ilsvrc.pack(copied / ilsvrc.TRAIN, [(f'./{wnid}.tar', ilsvrc.packed(images.items())) for wnid in classes])
    run(copied, tmp_path, raw=True)
    wanted = {f'{wnid}/{name.lstrip("./")}': data for wnid in classes for name, data in images.items()}
    assert files(tmp_path / 'train') == wanted
    found = sorted((image, classes[label]) for image, label, _ in read_by_mxnet(tmp_path / 'rec', 'train'))
    assert found == sorted((data, name.split('/')[0]) for name, data in wanted.items())
    again = find_source('.', tmp_path).splits['train']
    assert {again.name(index): again.read(index) for index in range(len(again))} == wanted


def make_kaggle(made, root):
    data = root / 'ILSVRC/Data/CLS-LOC'
    for name, (image, wnid) in made['train'].items():
        (data / 'train' / wnid).mkdir(parents=True, exist_ok=True)
        (data / 'train' / wnid / name).write_bytes(image)
    (data / 'val').mkdir()
    for name, (image, _) in made['val'].items():
        (data / 'val' / name).write_bytes(image)
    with open(root / 'LOC_val_solution.csv', 'w', newline='') as opened:
        rows = [(name[:-5], f'{wnid} 1 2 3 4 {wnid} 5 6 7 8 ') for name, (_, wnid) in made['val'].items()]
        csv.writer(opened).writerows([('ImageId', 'PredictionString'), *reversed(rows)])
    (root / 'LOC_synset_mapping.txt').write_text(''.join(
        f'{wnid} words of {wnid}, more\n' for wnid in {wnid for _, wnid in made['train'].values()}))
    return data


@pytest.mark.parametrize('option, below', [('--download-dir', '.'), ('--image-folder', '.'),
                                           ('--image-folder', 'ILSVRC/Data/CLS-LOC')])
def test_kaggle_gives_the_labels_of_the_devkit(official, tmp_path, option, below):
    folder, made = official
    make_kaggle(made, tmp_path / 'kaggle')
    main(option, tmp_path / 'kaggle' / below, '--target-dir', tmp_path / 'a')
    tars, found = run(folder, tmp_path / 'b'), read_json(tmp_path / 'a/rec/manifest.json')
    assert (found['classes'], found['words']) == (tars['classes'], tars['words'])
    for split in made:
        a, b = (sorted((image, label) for image, label, _ in read_by_mxnet(tmp_path / name / 'rec', split))
                for name in 'ab')
        assert a == b


def test_kaggle_behind_links(official, tmp_path):
    """Its folder under another name, and its tables beside the link alone; it was taken for a folder of images."""
    made, real, root = official[1], tmp_path / 'real', tmp_path / 'root'
    make_kaggle(made, real).rename(tmp_path / 'elsewhere')
    (root / 'ILSVRC/Data').mkdir(parents=True)
    (root / 'ILSVRC/Data/CLS-LOC').symlink_to(tmp_path / 'elsewhere')
    for path in real.glob('LOC_*'):
        path.rename(root / path.name)
    for below in ('.', 'ILSVRC/Data/CLS-LOC'):
        source = find_source(None, root / below)
        assert (source.kind, len(source.splits['val'])) == ('Kaggle', len(made['val']))
        assert source.words[0].startswith('words of')


@pytest.mark.parametrize('options, wanted', [
    (['--resize', 0], '--resize must be from 1'), (['--resize', 9, '--quality', 101], '--quality must be from 1 to'),
    (['--quality', 0, '--resize', 9], '--quality must be'), (['--quality', 50], '--resize'),
    (['--num-shards', 0], '--num-shards must be'), (['--num-shards', 35], '34 training images'),
    (['-j', 0], '--num-workers must be'), (['--seed', -1], '--seed'), (['--checksum'], 'sha1'),
    (['--image-folder', 'nowhere'], 'nowhere: no such folder'), (['--check'], 'manifest.json: missing'),
    (['--target-dir', ilsvrc.TRAIN], 'cannot be written')])
def test_bad_options(copied, monkeypatch, options, wanted):
    monkeypatch.chdir(copied)
    with pytest.raises(InputError, match=re.escape(wanted)):
        main(*options)
    assert not list(copied.glob('rec/*.rec'))


def test_help_tells_every_option():
    result = script(SCRIPT, '--help')
    assert result.returncode == 0
    for option in ('--download-dir', '--target-dir', '--checksum', '--num-shards', '--num-workers', '--num-thread',
                   '--seed', '--with-rec', '--raw', '--resize', '--quality', '--image-folder', '--check',
                   '--check-images', '--skip-bad'):
        assert option in result.stdout


def test_the_index_is_compact():
    """1.28 million images must fit beside the rest into 1 GB."""
    samples = Samples(SCRIPT)
    tracemalloc.start()
    for number in range(50_000):
        samples.add(f'n01440764.tar/n01440764_{number}.JPEG', 110_000, number % 1000, number * 110_592)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 50_000 * 100
    assert samples.name(49_999) == 'n01440764.tar/n01440764_49999.JPEG'


@pytest.mark.slow
def test_twenty_thousand_images_in_little_memory(tmp_path):
    """Each image once, with its label and bytes; no process takes 500 MB."""
    ilsvrc.make(tmp_path, classes=100, train=160, val=1000)
    code = ('import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); '
            'print("MB", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024); sys.exit(code)')
    result = command(sys.executable, '-c', code, sys.executable, ROOT / 'scripts' / SCRIPT, '--download-dir', tmp_path,
                     '--num-shards', 8, '-j', 2)
    assert result.returncode == 0, result.stderr
    assert 50 < int(result.stdout.split('MB')[-1]) < 500
    original = read_by_tarfile(tmp_path)
    classes = read_json(tmp_path / 'rec/manifest.json')['classes']
    assert len(original['train']) == 20_950
    seen = set()
    for image, label, number in read_by_mxnet(tmp_path / 'rec', 'train'):
        name, data = original['train'][number]
        assert (image, classes[label]) == (data, name.split('_')[0])
        seen.add(number)
    assert len(seen) == 20_950
    assert len(RecordSet(tmp_path / 'rec', 'train')) == 20_950
    assert len(RecordSet(tmp_path / 'rec', 'val')) == 1000
