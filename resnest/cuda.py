"""CUDA for ``mxnet-cu112`` 1.9.1: its libraries, taken from PyPI wheels, and the GPUs it has kernels for."""
import ctypes
import os
import sys
from importlib import metadata
from pathlib import Path

from resnest.errors import InputError

__all__ = ['check_gpus', 'driver_trouble', 'gpu_capabilities', 'gpu_identity', 'installed', 'load_cuda_libraries']

# The order matters: each library finds those it needs already loaded.
CUDA_LIBRARIES = ('libcudart.so.11.0', 'libnvrtc.so.11.2', 'libnvToolsExt.so.1', 'libcublasLt.so.11',
                  'libcublas.so.11', 'libcufft.so.10', 'libcurand.so.10', 'libcusolver.so.11',
                  'libcudnn.so.8', 'libnccl.so.2')
# Its kernels are built for sm_50, 60, 70, 80 and 86, with no PTX that a newer GPU could compile.
MIN_CAPABILITY = (5, 0)
END_CAPABILITY = (9, 0)
# Operators that it fuses are compiled on the spot by NVRTC 11.8, whose PTX older drivers do not take.
LEAST_DRIVER = 11080        # as cuDriverGetVersion has it: CUDA 11.8, of drivers from 520 on


def installed(distribution):
    """The version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def load_cuda_libraries(folders=None):
    """Load the CUDA 11.8, cuDNN 8.9 and NCCL libraries of the PyPI wheels for ``mxnet-cu112``.

    Does nothing where the CPU build of mxnet is installed. ``folders`` are searched in place of
    ``nvidia/*/lib`` on the import path. A library that is not there is left for the system's
    loader to find. Returns the paths that were loaded; raises OSError for a damaged one. MXNet's warning that cuDNN is
    another one than it was built with is turned off, since that is meant so; and a GPU has one random generator, since
    which of several an operator takes depends on what the process has traced before, and so changes by a resume.
    """
    if folders is None:
        if not installed('mxnet-cu112'):
            return []
        folders = [lib for entry in sys.path for lib in sorted(Path(entry or '.').glob('nvidia/*/lib'))]
    os.environ.setdefault('MXNET_CUDNN_LIB_CHECKING', '0')
    os.environ.setdefault('MXNET_GPU_PARALLEL_RAND_COPY', '1')
    loaded = []
    for name in CUDA_LIBRARIES:
        path = next((Path(folder, name) for folder in folders if Path(folder, name).exists()), None)
        if path is not None:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            loaded.append(path)
    return loaded


def gpu_capabilities():
    """Compute capability ``(major, minor)`` of each visible GPU, asked of the driver; [] without one."""
    try:
        driver = ctypes.CDLL('libcuda.so.1')
    except OSError:
        return []
    count, value = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    capabilities = []
    for device in range(count.value):
        pair = []
        for attribute in (75, 76):      # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
            driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
            pair.append(value.value)
        capabilities.append(tuple(pair))
    return capabilities


def gpu_identity(index):
    """What tells a visible GPU from all others, on any machine (its UUID): bytes, empty where the driver does not say.

    A part of a GPU that is divided (MIG) is a GPU of its own.
    """
    device, found = ctypes.c_int(), (ctypes.c_char * 16)()
    try:
        driver = ctypes.CDLL('libcuda.so.1')
        ask = getattr(driver, 'cuDeviceGetUuid_v2', None) or driver.cuDeviceGetUuid
    except (OSError, AttributeError):
        return b''
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), index) or ask(found, device):
        return b''
    return found.raw


def driver_trouble():
    """What is wrong with the NVIDIA driver, and the remedy: that it is too old for fused operators; None otherwise."""
    version = ctypes.c_int()
    try:
        failed = ctypes.CDLL('libcuda.so.1').cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        return None
    if failed or version.value >= LEAST_DRIVER or os.environ.get('MXNET_USE_FUSION') == '0':
        return None
    return (f'the NVIDIA driver knows CUDA {version.value // 1000}.{version.value % 1000 // 10}, but mxnet-cu112 fuses '
            f'operators by CUDA 11.8: install driver 520 or newer, or set MXNET_USE_FUSION=0')


def check_gpus(capabilities=None):
    """Raise :class:`InputError` for a GPU that mxnet-cu112 1.9.1 has no kernels for, and for a driver that is too old.

    ``capabilities`` is a list of ``(major, minor)``; the machine's GPUs by default.
    """
    for index, found in enumerate(gpu_capabilities() if capabilities is None else capabilities):
        if not MIN_CAPABILITY <= found < END_CAPABILITY:
            raise InputError(f'GPU {index} has compute capability {found[0]}.{found[1]}, but mxnet-cu112 1.9.1 has '
                             f'kernels for 5.0 to 8.9 only (V100, T4, A100, RTX 30 and 40): hide it with '
                             f'CUDA_VISIBLE_DEVICES, or run on the CPU (--no-cuda)')
    trouble = driver_trouble()
    if trouble:
        raise InputError(trouble)
