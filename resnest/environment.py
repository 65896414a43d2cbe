"""What ``resnest env`` prints: versions, threads, devices, Horovod's build, what is missing.

Each line is found out on its own, so that a broken or missing part shows as such and no more.
"""
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from resnest import __version__, runtime
from resnest.building.compilers import find_compilers
from resnest.cuda import END_CAPABILITY, MIN_CAPABILITY, driver_trouble
from resnest.errors import MissingPackage

__all__ = ['describe', 'missing', 'EXTRAS']

# Distributions behind each extra of setup.py, as far as this package itself imports them.
EXTRAS = {
    'detection': ('pycocotools',),
    'demo': ('scikit-learn', 'matplotlib', 'tensorboardx'),
    'export': ('onnx', 'onnxruntime'),
    'transfer': ('gluoncv', 'pycocotools', 'safetensors'),
    'dev': ('pytest', 'pytest-timeout', 'pytest-xdist', 'ruff'),
}
CPU_FLAGS = {'avx2': 'AVX2', 'avx512f': 'AVX-512', 'avx512_vnni': 'VNNI (fast int8)',
             'avx512_bf16': 'BF16 (fast bfloat16)', 'amx_tile': 'AMX'}
HOROVOD_BUILD = 'python -m resnest.building'


def describe():
    """The report, one ``name  value`` line for each fact; never raises."""
    facts = [('resnest', lambda: f'{__version__}, {Path(__file__).parent}'),
             ('python', lambda: f'{platform.python_version()}, {sys.executable}'),
             ('mxnet', _mxnet), ('numpy', _numpy), ('horovod', _horovod), ('threads', _threads), ('cpu', _cpu),
             ('gpu', _gpu), ('compiler', _compiler)]
    facts += [(f'[{extra}]', lambda extra=extra: _extra(extra)) for extra in EXTRAS]
    return '\n'.join(f'{name:<10} {_answer(fact)}' for name, fact in facts)


def _answer(fact):
    try:
        return fact()
    except Exception as error:      # a report on what is broken must not break
        return f'MISSING: {error}' if isinstance(error, ImportError) else f'BROKEN: {type(error).__name__}: {error}'


def missing(extra):
    """Distributions of an extra (a key of ``EXTRAS``) that are not installed."""
    return [name for name in EXTRAS[extra] if runtime.installed(name) is None]


def _mxnet():
    mx = runtime.import_mxnet()
    features = mx.runtime.Features()
    build = [runtime.installed('mxnet-cu112') and 'CUDA 11.2 build' or 'CPU build']
    build += [label for feature, label in (('MKLDNN', 'oneDNN'), ('CUDNN', 'cuDNN'), ('OPENCV', 'OpenCV'))
              if features.is_enabled(feature)]
    both = runtime.installed('mxnet') and runtime.installed('mxnet-cu112')
    return ', '.join([mx.__version__, *build]) + (
        '; BROKEN: mxnet and mxnet-cu112 overwrite each other: uninstall both, then install one' if both else '')


def _numpy():
    import numpy
    return numpy.__version__


def _horovod():
    if runtime.installed('horovod') is None:
        make = 'make GPU=1 horovod' if runtime.installed('mxnet-cu112') else 'make horovod'
        return f'MISSING: training runs as one process; to build it: {make}, or\n{"":<10} {HOROVOD_BUILD}'
    try:
        runtime.import_mxnet()
    except ImportError:
        return f'{runtime.installed("horovod")}, which needs mxnet'
    try:
        import horovod.mxnet as hvd
    except Exception as error:
        return (f'BROKEN: {runtime.installed("horovod")} was not built for this mxnet '
                f'({str(error).splitlines()[0]}); build it again:\n{"":<10} {HOROVOD_BUILD}')
    built = [label for label in ('gloo', 'mpi', 'nccl') if getattr(hvd, f'{label}_built')()]
    return f'{runtime.installed("horovod")}, built for MXNet with {", ".join(built) or "no transport"}'


def _threads():
    threads, cores = runtime.set_threads(), runtime.usable_cores()
    ours = os.environ.get('OMP_NUM_THREADS') == os.environ.get('RESNEST_NUM_THREADS')
    source = 'chosen by resnest' if ours else 'OMP_NUM_THREADS set by you'
    note = f'; {cores} would be faster for one process' if threads < cores and not ours else ''
    return f'{threads} for {cores} usable physical cores ({source}{note})'


def _cpu():
    info = Path('/proc/cpuinfo').read_text()
    model = re.search(r'^model name\s*: (.*)$', info, re.MULTILINE)
    flags = set((re.search(r'^flags\s*: (.*)$', info, re.MULTILINE) or ['', ''])[1].split())
    found = [label for flag, label in CPU_FLAGS.items() if flag in flags]
    return f'{model[1] if model else "unknown"}: {", ".join(found) or "none of AVX2, AVX-512, VNNI, BF16"}'


def _gpu():
    capabilities = runtime.gpu_capabilities()
    if not capabilities:
        return 'none'
    build = '' if runtime.installed('mxnet-cu112') else "; this mxnet runs on the CPU: see the README's cu112 extra"
    trouble = driver_trouble()
    build += f'; BROKEN: {trouble}' if trouble else ''
    return ', '.join(
        f'{index}: capability {major}.{minor}'
        + ('' if MIN_CAPABILITY <= (major, minor) < END_CAPABILITY else ' (UNUSABLE: no kernels in mxnet-cu112 1.9.1)')
        for index, (major, minor) in enumerate(capabilities)) + build


def _compiler():
    try:
        command = find_compilers()[0]
    except MissingPackage as error:
        return f'MISSING: {error} (to build Horovod and the fused CPU operators)'
    version = subprocess.run([*command, '--version'], capture_output=True, text=True, timeout=20, check=False)
    return (version.stdout or version.stderr).splitlines()[0]


def _extra(extra):
    absent = missing(extra)
    found = ', '.join(f'{name} {runtime.installed(name)}' for name in EXTRAS[extra] if name not in absent)
    if not absent:
        return found
    return (f'{found}; ' if found else '') + f"MISSING: {', '.join(absent)}: {runtime.install_command(*absent)}"
