"""Training: the recipe as data, and the engine that follows it."""
from . import distributed
from .config import TrainConfig
from .engine import fit
from .finetune import load_first
from .options import add_options, from_options

__all__ = ['TrainConfig', 'add_options', 'distributed', 'fit', 'from_options', 'load_first']
