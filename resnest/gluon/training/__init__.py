"""Training: the recipe as data, and the engine that follows it."""
from resnest.gluon import distributed

from .config import TrainConfig
from .methods.finetuning import load_first
from .options import add_options, from_options
from .run.engine import fit

__all__ = ['TrainConfig', 'add_options', 'distributed', 'fit', 'from_options', 'load_first']
