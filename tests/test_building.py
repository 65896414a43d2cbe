"""What Horovod is built with: nvcc, a compiler that it takes, NCCL, a driver to link. nvcc and NCCL are stubs here."""
import os
import re
import shutil
import subprocess
import sys

import pytest

from resnest.building import __main__ as building
from resnest.building import toolkit
from resnest.cuda import installed
from resnest.errors import InputError, MissingPackage

from .conftest import ROOT
from .processes import python, write

GCC = shutil.which('g++')
FORWARD = """
    from resnest import runtime
    mx = runtime.import_mxnet()
    from resnest.gluon import get_model
    mx.random.seed(1)
    net = get_model('resnest14', classes=3)
    net.initialize()
    print(mx.context.num_gpus(), net(mx.nd.ones((1, 3, 64, 64))).asnumpy().tolist())
    """


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A toolkit whose nvcc takes g++-11 only, and NCCL's wheel, in folders of their own."""
    monkeypatch.delenv('CXX', raising=False)
    monkeypatch.delenv('CUDA_HOME', raising=False)
    make_nvcc(tmp_path / 'cuda', '11.8')
    for compiler in ('g++', 'g++-11'):
        write(tmp_path / 'bin' / compiler, f'#!/bin/sh\nexec {GCC} "$@"\n')
        (tmp_path / 'bin' / compiler).chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path / "bin"}:/usr/bin:/bin')
    monkeypatch.setenv('HOROVOD_CUDA_HOME', str(tmp_path / 'cuda'))
    for name in ('lib/libnccl.so.2', 'include/nccl.h'):
        write(tmp_path / 'wheels/nvidia/nccl' / name)
    monkeypatch.setattr(sys, 'path', [str(tmp_path / 'wheels'), *sys.path])
    (tmp_path / 'work').mkdir()
    return tmp_path / 'cuda'


def make_nvcc(folder, release):
    nvcc = folder / 'bin/nvcc'
    write(nvcc, f"""\
        #!/bin/sh
        [ "$1" = --version ] && echo 'Cuda compilation tools, release {release}, V{release}.89' && exit
        [ "$2" = g++-11 ] || {{ echo 'error -- unsupported GNU version!' >&2; exit 1; }}
        """)
    nvcc.chmod(0o755)


@pytest.mark.parametrize('release, usable', [('10.2', False), ('11.0', False), ('11.2', True), ('11.8', True),
                                             ('12.1', False), ('13.0', False)])
def test_nvcc_of_another_cuda_is_refused(home, release, usable):
    make_nvcc(home, release)
    if usable:
        assert toolkit.find_nvcc() == home
    else:
        with pytest.raises(InputError, match=rf'found {re.escape(release)} in {home}: install .* 11\.8'):
            toolkit.find_nvcc()


def test_without_nvcc_one_line_says_what_to_install(home, monkeypatch):
    monkeypatch.setenv('HOROVOD_CUDA_HOME', str(home / 'nowhere'))
    with pytest.raises(InputError, match='needs nvcc of CUDA 11.2 to 11.8') as error:
        toolkit.find_nvcc()
    assert '\n' not in str(error.value)


def test_the_compiler_is_one_that_nvcc_takes(home, tmp_path, monkeypatch):
    assert toolkit.find_compiler(home, tmp_path) == 'g++-11'
    monkeypatch.setenv('CXX', 'g++')
    with pytest.raises(MissingPackage, match='unsupported GNU version.*apt-get install g'):
        toolkit.find_compiler(home, tmp_path)


def test_settings_of_a_build_with_nccl(home, tmp_path, monkeypatch):
    monkeypatch.setattr(toolkit, '_has_driver', lambda: False)
    found = toolkit.cuda_environment(tmp_path / 'work')
    link = os.path.join(found['HOROVOD_NCCL_LIB'], 'libnccl.so')
    assert os.path.realpath(link) == str(tmp_path / 'wheels/nvidia/nccl/lib/libnccl.so.2')
    assert (found['CXX'], found['HOROVOD_GPU_OPERATIONS'], found['HOROVOD_NCCL_LINK']) == ('g++-11', 'NCCL', 'SHARED')
    assert found['PATH'].split(':')[0] == str(home / 'bin')     # Horovod asks the first nvcc of the path
    folder = found['LD_LIBRARY_PATH'].split(':')[0]
    assert os.path.exists(os.path.join(folder, 'libcuda.so.1'))


@pytest.mark.parametrize('cuda', [False, True])
def test_only_a_cuda_mxnet_asks_for_nccl(monkeypatch, cuda):
    calls = []
    monkeypatch.setattr(building, 'installed', lambda name: cuda and '1.9.1')
    monkeypatch.setattr(building, 'cuda_environment', lambda folder: {'HOROVOD_GPU_OPERATIONS': 'NCCL', 'PATH': '/x'})
    monkeypatch.setattr(building, '_pip', lambda settings, *arguments: calls.append((settings, arguments)))
    monkeypatch.setattr(sys, 'argv', ['building', '--wheel-dir', 'wheels'])
    building.main()
    settings, arguments = calls[-1]
    assert settings.get('HOROVOD_GPU_OPERATIONS') == ('NCCL' if cuda else None)
    assert settings['PATH'].startswith(os.path.dirname(sys.executable))
    assert (*arguments[:3], arguments[-1]) == ('wheel', '--wheel-dir', 'wheels', building.HOROVOD)


def test_make_for_gpus_takes_the_other_mxnet(tmp_path):
    environ = {k: v for k, v in os.environ.items() if k not in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS')}
    for options, mxnet, extra in (([], 'mxnet', 'cpu'), (['GPU=1'], 'mxnet-cu112', 'cu112')):
        said = subprocess.run(['make', '-n', '-B', *options, 'setup'], cwd=ROOT, env=environ, capture_output=True,
                              text=True, check=True).stdout
        for part in (f'--no-deps {mxnet}\n', f"'.[{extra},demo]'", '-m resnest.building'):
            assert part in said


@pytest.mark.skipif(GCC is None, reason='no C compiler')
def test_a_forward_pass_beside_a_driver_without_a_gpu(tmp_path):
    """With mxnet-cu112 this shows what the stub must have; the CPU build asks no driver for anything."""
    toolkit.make_driver(tmp_path, GCC)
    found = python(FORWARD, LD_LIBRARY_PATH=str(tmp_path))
    assert re.fullmatch(r'0 \[\[[-+.\de, ]+\]\]', found), found
    if not installed('mxnet-cu112'):        # that one cannot be imported without any driver
        assert found == python(FORWARD)


@pytest.mark.parametrize('name', ['Dockerfile', 'Dockerfile.cpu'])
def test_what_a_dockerfile_names_is_there(name):
    lines = (ROOT / name).read_text().splitlines()
    assert [line.split()[0] for line in lines if line and not line.startswith('#')][0] == 'FROM'
    for extra in re.findall(r"'\.\[([\w,]+)\]'", '\n'.join(lines)):
        declared = (ROOT / 'setup.py').read_text()
        assert all(f"'{each}': " in declared for each in extra.split(','))
    for module in re.findall(r'-m (resnest[\w.]*)', '\n'.join(lines)):
        assert (ROOT / module.replace('.', '/') / '__main__.py').exists()
