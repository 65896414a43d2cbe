"""What the tests share: a small network, a small data set, and a way to run the commands."""
import contextlib
import ctypes
import gc
import inspect
import io
import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
HOROVODRUN = Path(sys.executable).with_name('horovodrun')
# A C++ compiler is optional: `make setup` goes on without one, and so does everything but what it makes.
needs_horovod = pytest.mark.skipif(not HOROVODRUN.exists(), reason='Horovod is not built: no C++ compiler')
os.environ.setdefault('PIP_NO_INDEX', '1')      # gluoncv would run pip when it misses pycocotools
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:       # as in what a shell runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

from resnest.building.compilers import find_compilers  # noqa: E402
from resnest.errors import InputError, MissingPackage, run_command  # noqa: E402
from resnest.gluon.data import write_shards  # noqa: E402
from resnest.gluon.models import ResNet, VariantSpec  # noqa: E402


def has_compiler():
    try:
        return bool(find_compilers())
    except MissingPackage:
        return False


needs_compiler = pytest.mark.skipif(not has_compiler(), reason='no C++ compiler to build the native operators with')


def pytest_addoption(parser):
    parser.addoption('--soak', action='store_true', help='the long random tests too: make soak')


def pytest_make_parametrize_id(config, val, argname):
    """Data and functions have no name that two processes agree on, which run a half of the tests each."""
    return argname if isinstance(val, bytes) or inspect.isfunction(val) else None


def pytest_collection_modifyitems(config, items):
    if not config.getoption('--soak'):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker('soak')])
        items[:] = [item for item in items if not item.get_closest_marker('soak')]


@pytest.fixture(autouse=True, scope='module')
def memory_given_back():
    """The C library keeps what mxnet's threads have freed: each process of the whole suite would come to 10 GB."""
    yield
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture
def soak(capsys):
    """(random generator, number of kills) of a long random test; SOAK_SEED repeats one, SOAK_KILLS makes it longer."""
    seed = int(os.environ.get('SOAK_SEED') or np.random.SeedSequence().entropy % 2 ** 32)
    with capsys.disabled():
        print(f'\nSOAK_SEED={seed}')
    return np.random.default_rng(seed), int(os.environ.get('SOAK_KILLS') or 24)


TINY = VariantSpec('tiny', (1, 1, 1, 1), bottleneck_width=8, stem_width=8)


@pytest.fixture
def tiny():
    """A function that makes a small ResNeSt; its keywords are those of ResNet."""
    return lambda **kwargs: ResNet(TINY, **{'classes': 10, **kwargs})


def randomize(net, seed=0):
    """Give every parameter, running statistics included, a value that keeps the activations in bounds."""
    import mxnet as mx
    rng = np.random.default_rng(seed)
    net.initialize(mx.init.Zero(), force_reinit=True)
    for name, param in net._collect_params_with_prefix().items():
        if name.endswith('weight'):
            value = rng.normal(0, np.sqrt(2 / np.prod(param.shape[1:])), param.shape)
        elif name.endswith('gamma'):
            # The last scale of a block is small, otherwise two hundred residuals add up to 1e7.
            value = rng.uniform(0.5, 1.5, param.shape) * (0.1 if '.bn3.' in name else 1)
        elif name.endswith('running_var'):
            value = rng.uniform(0.5, 1.5, param.shape)
        else:
            value = rng.normal(0, 0.1, param.shape)
        param.set_data(mx.nd.array(value))
    return net


def relative_error(found, wanted):
    """Largest difference, relative to the largest wanted value."""
    return np.abs(found - wanted).max() / np.abs(wanted).max()


def encoded(pixels, kind='png'):
    """Encoded bytes of a uint8 image."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope='session')
def squares(tmp_path_factory):
    """A folder of shards that is easy to learn: the class says which quarter of a grey picture is bright."""
    rng = np.random.default_rng(0)

    def samples(count):
        for number in range(count):
            pixels = rng.integers(0, 60, (20, 24, 3), dtype=np.uint8)
            row, column = divmod(number % 4, 2)
            pixels[10 * row:10 * row + 10, 12 * column:12 * column + 12] += 150
            yield encoded(pixels), number % 4

    folder = tmp_path_factory.mktemp('squares')
    write_shards(folder, {'train': list(samples(96)), 'val': list(samples(37))}, ['nw', 'ne', 'sw', 'se'], 3)
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a disk of a size such as '300k' and returns its folder."""
    folder = tmp_path / 'disk'
    mounted = []

    def mount(size):
        folder.mkdir()
        if os.getuid() or subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', folder],
                                         capture_output=True).returncode:
            pytest.skip('mounting a small disk needs root and the right to mount')
        mounted.append(folder)
        return folder

    yield mount
    for each in mounted:
        subprocess.run(['umount', each], check=True)


def need_cpu(precision):
    """Skip a test on a CPU that cannot compute ``precision``, where nothing but the refusal could be tested."""
    from resnest.gluon.inference.optimized.precision import require_cpu

    try:
        require_cpu(precision)
    except InputError as error:
        pytest.skip(str(error))


def horovodrun(ranks):
    """The words that start a command in so many processes; --gloo spares the launcher seconds of looking for MPI."""
    return (HOROVODRUN, '--gloo', '-np', ranks, '-H', f'localhost:{ranks}') if ranks > 1 else ()


def command(*words, cwd=None, timeout=300, **environment):
    """Run a program of this environment; returns what subprocess.run returns, with text output."""
    env = {**os.environ, 'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}', **environment}
    return subprocess.run([str(word) for word in words], cwd=cwd, env=env, timeout=timeout,
                          capture_output=True, text=True)


def script(name, *words, **settings):
    """Run ``scripts/{name}`` with this Python."""
    return command(sys.executable, ROOT / 'scripts' / name, *words, **settings)


def script_main(name):
    """The function ``main(arguments)`` of ``scripts/{name}``."""
    return runpy.run_path(str(ROOT / 'scripts' / name))['main']


def script_here(name, *words, cwd=None):
    """As :func:`script`, in this process, which spares the start of another: for commands that end early."""
    return run_here(script_main(name), name, *words, cwd=cwd)


def run_here(main, name, *words, cwd=None):
    """Run a command's ``main(arguments)`` as the end of a program; returns what subprocess.run returns."""
    stdout, stderr, before = io.StringIO(), io.StringIO(), Path.cwd()
    os.chdir(cwd or before)
    try:
        with mock.patch.dict(os.environ), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr), \
                pytest.raises(SystemExit) as ended:
            run_command(main, list(map(str, words)))
    finally:
        os.chdir(before)
    return subprocess.CompletedProcess([name, *words], ended.value.code, stdout.getvalue(), stderr.getvalue())


def assert_refused(result, *wanted):
    """One clear line that names what was wrong, exit code 2 and no traceback."""
    assert result.returncode == 2, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1, result.stderr
    assert 'Traceback' not in result.stderr
    for text in wanted:
        assert str(text) in errors[0]


def read_json(path):
    return json.loads(Path(path).read_text())
