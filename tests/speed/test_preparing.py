"""What ``benchmark.py data`` says of preparing, and the archive that it prepares."""
import io
import sys
import tarfile

import pytest
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data.preparing.imagenet import find_source
from resnest.gluon.speed.preparing import format_preparing, measure_preparing
from resnest.gluon.speed.synthetic import write_archive

from ..conftest import command
from ..data.preparing.ilsvrc import TRAIN, TRUTH, VAL


def test_the_archive_has_the_official_layout(tmp_path):
    write_archive(tmp_path, 23, 4, (40, 30))
    images = []
    with tarfile.open(tmp_path / TRAIN) as outer:
        for member in outer:
            with tarfile.open(fileobj=outer.extractfile(member)) as inner:
                images += [(image.name.split('_')[0] == member.name[:-4], inner.extractfile(image).read())
                           for image in inner]
    assert [belongs for belongs, _ in images] == [True] * 23
    assert {Image.open(io.BytesIO(image)).size for _, image in images} == {(40, 30)}
    with tarfile.open(tmp_path / VAL) as opened:
        assert opened.getnames() == ['ILSVRC2012_val_00000001.JPEG', 'ILSVRC2012_val_00000002.JPEG']
    source = find_source(tmp_path)
    with tarfile.open(tmp_path / 'ILSVRC2012_devkit_t12.tar.gz') as opened:
        truth = [int(line) for line in opened.extractfile(TRUTH)]
    assert [source.classes[label] for label in source.splits['val'].labels] == [f'n{number:08d}' for number in truth]


def test_too_few_images():
    with pytest.raises(InputError, match='--prepare-images must be 0 or at least 10'):
        measure_preparing(9)


def test_peak_memory_is_that_of_the_largest_process():
    """Workers that take some memory and are gone; the parent never holds as much."""
    code = ('import os; from resnest.gluon.speed.preparing import peak_memory\n'
            'for size in (300, 500, 100):\n'
            '    if not (pid := os.fork()):\n'
            '        block = b"x" * (size << 20); os._exit(0)\n'
            '    os.waitpid(pid, 0)\n'
            '    print(peak_memory() >> 20)')
    result = command(sys.executable, '-c', code)
    first, second, third = map(int, result.stdout.split())
    assert first > 300
    assert 195 < second - first < 205
    assert third == second


def test_the_table_tells_the_growth():
    rows = [{'images': images, 'workers': 2, 'seconds': seconds, 'cpu_seconds': 1.5 * seconds, 'bytes': 1e6 * images,
             'peak_megabytes': memory, 'images_per_second': images / seconds}
            for images, seconds, memory in ((100, 2, 150), (200, 5, 165))]
    first, second = format_preparing(rows).splitlines()[1:]
    assert first.split() == ['100', '2', '2.00', '3.00', '50', '150']
    assert second.endswith('images 2.00 x, time 2.50 x, CPU 2.50 x, memory 1.10 x')
