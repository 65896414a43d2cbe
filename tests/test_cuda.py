"""CUDA libraries and GPUs, with stub libraries compiled here: the real ones need a GPU or 2 GB."""
import ctypes.util
import re
import shutil
import subprocess

import pytest

from resnest import runtime
from resnest.errors import InputError

from .processes import python, write

GCC = shutil.which('gcc') or shutil.which('g++')
needs_compiler = pytest.mark.skipif(GCC is None, reason='no C compiler')

# Each stub calls the functions of those it needs without naming them as dependencies, as
# the loader must then find them already loaded and global.
STUBS = {
    # function: (library, what it calls)
    'cudart': ('libcudart.so.11.0', []),
    'nvrtc': ('libnvrtc.so.11.2', []),
    'cublasLt': ('libcublasLt.so.11', ['cudart']),
    'cublas': ('libcublas.so.11', ['cublasLt']),
    'cusolver': ('libcusolver.so.11', ['cublas', 'cublasLt']),
    'cudnn': ('libcudnn.so.8', ['cublas', 'nvrtc']),
    'nccl': ('libnccl.so.2', ['cudart']),
}


def compile_stub(folder, name, source):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'stub.c').write_text(source)
    subprocess.run([GCC, '-x', 'c', '-shared', '-fPIC', '-o', str(folder / name), str(folder / 'stub.c')], check=True)


@needs_compiler
def test_cuda_libraries_come_from_the_wheels_in_a_working_order(tmp_path):
    def source(function, calls):
        declared = ''.join(f'int {call}(void);\n' for call in calls)
        # The table makes the loader resolve every name at once, as the real libraries do.
        return (f'{declared}int {function}(void) {{ return 1{"".join(f" + {call}()" for call in calls)}; }}\n'
                f'int (*table_{function}[])(void) = {{ {", ".join([function, *calls])} }};\n')

    def value(function):
        return 1 + sum(map(value, STUBS[function][1]))

    for function, (library, calls) in STUBS.items():
        compile_stub(tmp_path / 'nvidia' / function / 'lib', library, source(function, calls))
    compile_stub(tmp_path / 'mxnet', 'libmxnet.so', source('total', STUBS))
    write(tmp_path / 'mxnet/__init__.py', """
        import ctypes, os
        total = ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'libmxnet.so')).total()
        """)
    code = """
        import resnest._import_hook
        try:
            import mxnet
            print(mxnet.total)
        except OSError as error:
            print('undefined symbol' in str(error))
        """
    assert python(code, path=[tmp_path]) == 'True'      # the CPU build: nothing is loaded
    write(tmp_path / 'mxnet_cu112-1.9.1.dist-info/METADATA', 'Name: mxnet-cu112\nVersion: 1.9.1\n')
    assert python(code, path=[tmp_path]) == str(1 + sum(map(value, STUBS)))


@needs_compiler
def test_gpu_capabilities_are_asked_of_the_driver(tmp_path):
    compile_stub(tmp_path, 'libcuda.so.1', """
        #include <stdlib.h>
        int cuDriverGetVersion(int *version) { *version = atoi(getenv("STUB_VERSION")); return 0; }
        int cuInit(unsigned flags) { return atoi(getenv("STUB_INIT")); }
        int cuDeviceGetCount(int *count) { *count = 2; return 0; }
        int cuDeviceGetAttribute(int *value, int attribute, int device) {
            *value = attribute == 75 ? 8 + device : attribute == 76 ? 6 * !device : -1; return 0; }
        int cuDeviceGet(int *device, int number) { *device = number + 7; return number > 1; }
        int cuDeviceGetUuid_v2(char *uuid, int device) {
            for (int i = 0; i < 16; i++) uuid[i] = device == 8 ? i : 'a';
            return 0; }
        """)
    code = """
        from resnest.runtime import check_gpus, gpu_capabilities, gpu_identity
        assert not gpu_capabilities() or gpu_identity(0) == b'a' * 16, gpu_identity(0)
        assert gpu_identity(1) == (bytes(range(16)) if gpu_capabilities() else b''), gpu_identity(1)
        assert gpu_identity(2) == b''
        print(gpu_capabilities())
        try:
            check_gpus()
        except ValueError as error:
            print(error)
        """
    stub = {'LD_LIBRARY_PATH': str(tmp_path), 'STUB_VERSION': '11080'}
    found, message = python(code, **stub, STUB_INIT='0').split('\n')
    assert found == '[(8, 6), (9, 0)]'
    assert re.match(r'GPU 1 has compute capability 9\.0, but mxnet-cu112 1\.9\.1 has kernels for 5\.0 to 8\.9', message)
    assert python(code, **stub, STUB_INIT='100') == '[]'      # CUDA_ERROR_NO_DEVICE
    told = python(code, **{**stub, 'STUB_VERSION': '11040'}, STUB_INIT='100')
    assert told == ('[]\nthe NVIDIA driver knows CUDA 11.4, but mxnet-cu112 fuses operators by CUDA 11.8: install '
                    'driver 520 or newer, or set MXNET_USE_FUSION=0')
    assert python(code, **{**stub, 'STUB_VERSION': '11040', 'MXNET_USE_FUSION': '0'}, STUB_INIT='100') == '[]'


@pytest.mark.parametrize('capability, usable', [((3, 7), False), ((5, 0), True), ((7, 5), True), ((8, 9), True),
                                                ((9, 0), False), ((10, 0), False), ((12, 0), False)])
def test_gpus_without_kernels_are_refused(capability, usable):
    if usable:
        runtime.check_gpus([capability])
    else:
        with pytest.raises(InputError, match=rf'GPU 1 has compute capability {capability[0]}\.{capability[1]}, .*CPU'):
            runtime.check_gpus([(8, 0), capability])


@pytest.mark.skipif(ctypes.util.find_library('cuda') is not None, reason='this machine has the NVIDIA driver')
def test_no_driver_means_no_gpu():
    assert (runtime.gpu_capabilities(), runtime.gpu_identity(0)) == ([], b'')
    runtime.check_gpus()
