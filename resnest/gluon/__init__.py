"""ResNeSt for MXNet Gluon: ``from resnest.gluon import resnest50``."""
from resnest.runtime import import_mxnet

import_mxnet()      # threads and compatibility must be settled before mxnet is first imported

from resnest.gluon import catalogue, models, nn  # noqa: E402
from resnest.gluon.models import *  # noqa: E402,F403

get_model, list_models, purge = catalogue.get_model, catalogue.list_models, catalogue.purge     # of every task

__all__ = ['models', 'nn', *models.__all__]
