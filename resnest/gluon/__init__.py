"""ResNeSt for MXNet Gluon: ``from resnest.gluon import resnest50``."""
from resnest.runtime import import_mxnet

import_mxnet()      # threads and compatibility must be settled before mxnet is first imported

from resnest.gluon import models, nn  # noqa: E402
from resnest.gluon.models import *  # noqa: E402,F403

__all__ = ['models', 'nn', *models.__all__]
