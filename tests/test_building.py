"""What Horovod is built with: nvcc, a compiler that it takes, NCCL, a driver to link. nvcc and NCCL are stubs here."""
import os
import re
import shutil
import subprocess
import sys

import pytest

from resnest.building import __main__ as building
from resnest.building import operators, toolkit
from resnest.cuda import installed
from resnest.errors import InputError, MissingPackage

from .conftest import ROOT, assert_refused, command
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


@pytest.fixture
def pip_calls(monkeypatch):
    """What pip is called with by ``python -m resnest.building``, which builds and imports nothing here."""
    calls = []
    monkeypatch.setattr(building, '_pip', lambda settings, *arguments: calls.append((settings, arguments)))
    monkeypatch.setattr(building.subprocess, 'run', lambda *_, **__: subprocess.CompletedProcess((), 0))
    monkeypatch.setattr(building, 'installed', lambda name: None)
    monkeypatch.setattr(sys, 'argv', ['building'])
    for variable in ('CXX', 'CC'):
        monkeypatch.delenv(variable, raising=False)
    return calls


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
    with pytest.raises(InputError, match=f'found no bin/nvcc that runs in {home}/nowhere: install') as error:
        toolkit.find_nvcc()
    assert '\n' not in str(error.value)


def test_the_compiler_is_one_that_nvcc_takes(home, tmp_path, monkeypatch):
    assert toolkit.host_compiler(home, tmp_path) == ['g++-11']
    monkeypatch.setenv('CXX', 'g++')
    with pytest.raises(MissingPackage, match='unsupported GNU version.*apt-get install g'):
        toolkit.host_compiler(home, tmp_path)


def test_a_launcher_of_the_compiler_and_options_of_the_user_are_kept(home, tmp_path, monkeypatch):
    """nvcc takes the compiler without the launcher; Horovod's build looks for ccache itself."""
    (tmp_path / 'bin/ccache').symlink_to('/usr/bin/env')
    monkeypatch.setattr(toolkit, '_has_driver', lambda: True)
    monkeypatch.setenv('CXX', 'ccache g++-11 -m64')
    monkeypatch.setenv('LDFLAGS', '-L/opt/lib')
    found = toolkit.cuda_environment(tmp_path / 'work')
    assert found['CXX'] == 'g++-11 -m64'
    assert found['LDFLAGS'].startswith('-L/opt/lib -Wl,-rpath,')


def test_an_nvcc_that_hangs_and_a_compiler_that_fails_are_told_in_a_line(home, tmp_path, monkeypatch):
    monkeypatch.setattr(toolkit, 'PATIENCE', 0.2)
    write(home / 'bin/nvcc', '#!/bin/sh\nexec sleep 60\n')
    with pytest.raises(InputError, match=f'found one that gives no answer in {home}: install'):
        toolkit.find_nvcc()
    with pytest.raises(MissingPackage, match='not done after 0.2 seconds.: apt-get install'):
        toolkit.host_compiler(home, tmp_path)
    with pytest.raises(InputError, match='false cannot compile a stub of the NVIDIA driver'):
        toolkit.make_driver(tmp_path, ['false'])


@pytest.mark.parametrize('names, chosen', [((), None), (('g++-11',), 'g++-11'), (('g++-9', 'g++-13'), 'g++-13')])
def test_any_compiler_of_the_system_will_do(tmp_path, monkeypatch, pip_calls, names, chosen):
    for name in names:
        (tmp_path / name).symlink_to('/bin/true')
    monkeypatch.setenv('PATH', str(tmp_path))
    if chosen:
        building.main()
        settings, _ = pip_calls[-1]
        assert (settings['CXX'], settings['CC']) == (chosen, chosen.replace('g++', 'gcc'))
    else:
        with pytest.raises(MissingPackage, match='no C.. compiler: apt-get install'):
            building.main()
        assert not pip_calls


def test_a_folder_for_wheels_is_tried_before_anything_is_built(monkeypatch, pip_calls):
    monkeypatch.setattr(sys, 'argv', ['building', '--wheel-dir', '/proc/wheels'])
    with pytest.raises(InputError, match='^/proc/wheels: no files can be written there .* give --wheel-dir another'):
        building.main()
    assert not pip_calls


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
def test_only_a_cuda_mxnet_asks_for_nccl(monkeypatch, tmp_path, pip_calls, cuda):
    folder = str(tmp_path / 'wheels')
    monkeypatch.setattr(building, 'installed', lambda name: cuda and '1.9.1')
    monkeypatch.setattr(building, 'cuda_environment', lambda folder: {'HOROVOD_GPU_OPERATIONS': 'NCCL', 'PATH': '/x'})
    monkeypatch.setattr(sys, 'argv', ['building', '--wheel-dir', folder])
    building.main()
    settings, arguments = pip_calls[-1]
    assert settings.get('HOROVOD_GPU_OPERATIONS') == ('NCCL' if cuda else None)
    assert settings['PATH'].startswith(os.path.dirname(sys.executable))
    assert (*arguments[:3], arguments[-1]) == ('wheel', '--wheel-dir', folder, building.HOROVOD)


@pytest.mark.skipif(GCC is None, reason='no C compiler')
def test_native_operators_are_compiled_beside_a_stub_of_the_driver(tmp_path, monkeypatch, capfd):
    """This process in place of Python tells what it was started with."""
    monkeypatch.setattr(operators, 'installed', lambda name: '1.9.1')
    monkeypatch.setattr(toolkit, '_has_driver', lambda: False)
    write(tmp_path / 'python', '#!/bin/sh\nls "${LD_LIBRARY_PATH%%:*}"; echo "$@"; exit 3\n')
    (tmp_path / 'python').chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(tmp_path / 'python'))
    assert operators.main() == 3
    assert capfd.readouterr().out == f'libcuda.so.1\n-c {operators.COMPILE}\n'
    monkeypatch.setenv('CXX', 'false')
    with pytest.raises(SystemExit, match='^notice: false cannot compile a stub .*; the networks run in pure Gluon$'):
        operators.main()


def test_a_refused_environment_is_told_in_a_line():
    done = command(sys.executable, '-m', 'resnest.building.operators', cwd=ROOT, MXNET_CPU_WORKER_NTHREADS='4')
    assert_refused(done, 'MXNET_CPU_WORKER_NTHREADS')


@pytest.mark.parametrize('fails, refusal', [('install', InputError), ('wheel', SystemExit)])
def test_tools_that_cannot_be_installed_are_no_failure_of_the_build(tmp_path, pip_calls, monkeypatch, fails, refusal):
    monkeypatch.setattr(building, '_pip', lambda settings, *arguments: arguments[0] == fails)
    monkeypatch.setattr(sys, 'argv', ['building', '--wheel-dir', str(tmp_path)])
    with pytest.raises(refusal, match='what .* printed says why'):
        building.main()


@pytest.mark.parametrize('code, stamp', [(0, '.horovod-done'), (1, '.horovod-failed'), (2, None), (137, None)])
def test_only_a_failed_build_is_not_tried_again(tmp_path, code, stamp):
    done = make(tmp_path, f'''\
        #!/bin/sh
        case "$*" in
            -c*) echo 3.11 /usr ;;
            *resnest.building) echo 'what went wrong'; exit {code} ;;
        esac
        ''', '.venv/.horovod-done', made=('.base-done',))
    assert done.returncode == 0, done
    assert {path.name for path in (tmp_path / '.venv').glob('.horovod-*')} == ({stamp} if stamp else set())
    assert ('what went wrong (in .venv/horovod-build.log)' in done.stdout) == (code != 0)


def make(folder, python, *words, made=()):
    """Run make in a folder whose environment has a script in place of Python, and these stages behind it."""
    for name in ('Makefile', 'constraints.txt', 'setup.py', '.ci'):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    write(folder / '.venv/bin/python', python)
    (folder / '.venv/bin/python').chmod(0o755)
    for stamp in ('.venv-done', *made):
        (folder / '.venv' / stamp).touch()
    environ = {k: v for k, v in os.environ.items() if k not in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS')}
    return subprocess.run(['make', *words], cwd=folder, env=environ, capture_output=True, text=True)


def test_make_for_gpus_takes_the_other_mxnet(tmp_path):
    environ = {k: v for k, v in os.environ.items() if k not in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS')}
    for options, mxnet, extra in (([], 'mxnet', 'cpu'), (['GPU=1'], 'mxnet-cu112', 'cu112')):
        said = subprocess.run(['make', '-n', '-B', *options, 'setup'], cwd=ROOT, env=environ, capture_output=True,
                              text=True, check=True).stdout
        for part in (f'--no-deps {mxnet}\n', f"'.[{extra},demo]'", '-m resnest.building'):
            assert part in said


@pytest.mark.parametrize('has, option, refused', [
    ('mxnet-cu112', '', 'this .venv is for GPUs: add GPU=1 or make clean first'),
    ('mxnet', 'GPU=1', 'this .venv is for CPUs: make clean first'),
    ('mxnet', '', None), ('mxnet-cu112', 'GPU=1', None)])
def test_a_venv_of_the_other_kind_is_seen_however_far_it_was_made(tmp_path, has, option, refused):
    """Asked is what is installed in it, not the stamps of complete stages."""
    target = f'.venv/.base{"-cu112" if option else ""}-done'
    done = make(tmp_path, f"""\
        #!/bin/sh
        case "$*" in
            -c*) echo 3.11 /usr ;;
            *' show '*) for last; do :; done; [ "$last" = {has} ] ;;
            *) echo "$@" >> calls ;;
        esac
        """, *filter(None, [option]), target)
    assert (done.returncode != 0) == (refused is not None), done
    assert refused is None or refused in done.stdout.splitlines()
    assert (tmp_path / target).exists() == (tmp_path / 'calls').exists() == (refused is None)


@pytest.mark.skipif(GCC is None, reason='no C compiler')
def test_a_forward_pass_beside_a_driver_without_a_gpu(tmp_path):
    """With mxnet-cu112 this shows what the stub must have; the CPU build asks no driver for anything."""
    toolkit.make_driver(tmp_path, [GCC])
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
