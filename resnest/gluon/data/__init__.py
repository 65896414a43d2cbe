"""Images in, batches out: RecordIO shards, transforms, sample order, loader."""
from .loader import Loader
from .recordio import RecordSet, replace_file, write_shards
from .sampler import evaluation_batches, training_batches
from .transforms import Evaluation, Standard, with_normalization

__all__ = ['Evaluation', 'Loader', 'RecordSet', 'Standard', 'evaluation_batches', 'replace_file',
           'training_batches', 'with_normalization', 'write_shards']
