"""Training: the recipe as data, and the engine that follows it."""
from . import distributed
from .config import TrainConfig, add_options, from_options
from .engine import fit

__all__ = ['TrainConfig', 'add_options', 'distributed', 'fit', 'from_options']
