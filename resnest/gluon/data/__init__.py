"""Images in, batches out: RecordIO shards, transforms, sample order, loader."""
from .loader import Loader
from .recordio import RecordSet
from .sampler import evaluation_batches, training_batches
from .shard_writer import replace_file, write_shards
from .transforms import Evaluation, Standard, with_normalization

__all__ = ['Evaluation', 'Loader', 'RecordSet', 'Standard', 'evaluation_batches', 'replace_file',
           'training_batches', 'with_normalization', 'write_shards']
