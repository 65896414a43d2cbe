"""Training, free of any task: a recipe as data, and the engine that follows it."""
from .config import TrainConfig
from .launch import in_job, parse, train_task
from .options import add_options, from_options
from .reporting.figures import Figure, Figures
from .run.beginning import begun_before, earlier_recipe, load_first
from .run.engine import fit
from .task import Task

__all__ = ['Figure', 'Figures', 'Task', 'TrainConfig', 'add_options', 'begun_before', 'earlier_recipe', 'fit',
           'from_options', 'in_job', 'load_first', 'parse', 'train_task']
