"""Images in, batches out: RecordIO shards, transforms, sample order, loader."""
from .folder import FolderSet
from .loader import Loader
from .pair import open_pair
from .pictures import find_pictures, read_picture
from .recordio import RecordSet
from .sampler import evaluation_batches, local_batches, training_batches
from .shard_writer import write_shards
from .transforms import Evaluation, interpolation_for, normalization, training_transform, with_normalization

__all__ = ['Evaluation', 'FolderSet', 'Loader', 'RecordSet', 'evaluation_batches', 'find_pictures', 'interpolation_for',
           'local_batches', 'normalization', 'open_pair', 'read_picture', 'training_batches', 'training_transform',
           'with_normalization', 'write_shards']
