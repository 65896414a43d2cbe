"""Installs ``resnest`` and the .pth line that lets any process of the environment import mxnet.

MXNet and gluoncv name dependencies that cannot be had everywhere (numpy < 2, opencv-python with
libGL). Where pip cannot satisfy them, install both with --no-deps, as the Makefile does:
pip install --no-deps mxnet==1.9.1 gluoncv==0.10.5.post0
"""
import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# Quiet when the package is gone or broken: a .pth line runs at each start of Python.
PTH_NAME = 'resnest-mxnet.pth'
PTH_LINE = "import sys; exec('try: import resnest._import_hook\\nexcept ImportError: pass')\n"

MXNET_NEEDS = ['requests>=2.20', 'graphviz>=0.8.1,<0.9']
# What gluoncv 0.10.5 imports when its MXNet models are used; it declares more.
GLUONCV_NEEDS = ['portalocker', 'scipy', 'matplotlib', 'pycocotools']
DEMO = ['scikit-learn>=1.0', 'matplotlib>=3.6', 'tensorboardX>=2.6']
EXPORT = ['onnx>=1.16,<1.19', 'onnxruntime>=1.16']

EXTRAS = {
    'cpu': ['mxnet==1.9.1; python_version < "3.13"', *MXNET_NEEDS],
    'cu112': ['mxnet-cu112==1.9.1; python_version < "3.13"', *MXNET_NEEDS,
              'nvidia-cuda-runtime-cu11==11.8.89', 'nvidia-cuda-nvrtc-cu11==11.8.89', 'nvidia-nvtx-cu11==11.8.86',
              'nvidia-cublas-cu11==11.11.3.6', 'nvidia-cufft-cu11==10.9.0.58', 'nvidia-curand-cu11==10.3.0.86',
              'nvidia-cusolver-cu11==11.4.1.48', 'nvidia-cudnn-cu11==8.9.6.50', 'nvidia-nccl-cu11==2.21.5'],
    'export': EXPORT,
    'transfer': ['gluoncv==0.10.5.post0', 'pycocotools', 'safetensors'],
    'detection': ['pycocotools'],
    'demo': DEMO,
    'dev': ['pytest>=7', 'pytest-timeout', 'pytest-xdist', 'ruff', 'safetensors', *EXPORT, *DEMO, *GLUONCV_NEEDS],
}


class BuildWithPth(build_py):
    """Puts the .pth file beside the package: in the wheel, and in the wheel of ``pip install -e``."""

    def run(self):
        super().run()
        folder = self.get_finalized_command('install').install_lib if self.editable_mode else self.build_lib
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / PTH_NAME).write_text(PTH_LINE)


def read_version():
    return re.search(r"__version__ = '(.+)'", (ROOT / 'resnest/__init__.py').read_text()).group(1)


def read_description():
    readme = ROOT / 'README.md'
    return readme.read_text(encoding='utf-8') if readme.exists() else ''


setup(
    name='resnest',
    version=read_version(),
    description='ResNeSt: Split-Attention Networks for MXNet Gluon: models, training, inference',
    long_description=read_description(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.9,<3.14',
    package_dir={'': '.'},      # the plain editable install: one path line, no finder at each start of Python
    packages=find_packages(include=['resnest', 'resnest.*']),
    package_data={'resnest': ['py.typed', '**/*.json', '**/*.yaml', '**/*.c', '**/*.cc', '**/*.h', '**/*.txt']},
    install_requires=['numpy>=1.22', 'scipy>=1.7', 'setuptools>=64', 'requests>=2.20', 'tqdm>=4.40', 'pillow>=10.1',
                      'pyyaml>=5.4'],
    extras_require=EXTRAS,
    entry_points={'console_scripts': ['resnest = resnest.__main__:run']},
    cmdclass={'build_py': BuildWithPth},
    classifiers=[
        'License :: OSI Approved :: Apache Software License',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
