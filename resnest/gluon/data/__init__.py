"""Images in, batches out: RecordIO shards, transforms, sample order, loader."""
from .images.augmentation import training_transform
from .images.decoding import picture_bytes
from .images.folder_set import FolderSet
from .images.pictures import (
    OnePicture,
    Pictures,
    PictureTransform,
    create_transform,
    each_picture,
    find_pictures,
    is_one_picture,
    read_picture,
)
from .images.transforms import (
    Evaluation,
    interpolation_for,
    normalization,
    preprocessing,
    statistics,
    with_normalization,
)
from .labelled import Loader
from .loader import SampleLoader, TransformedRecords, WrongRecord
from .pair import default_fraction, open_folders, open_pair
from .sampler import evaluation_batches, local_batches, training_batches
from .shards.manifest import has_shards, shard_folder
from .shards.reader import RecordSet
from .shards.writer import write_shards

__all__ = ['Evaluation', 'FolderSet', 'Loader', 'OnePicture', 'PictureTransform', 'Pictures', 'RecordSet',
           'SampleLoader', 'TransformedRecords', 'WrongRecord', 'create_transform', 'default_fraction', 'each_picture',
           'evaluation_batches', 'find_pictures', 'has_shards', 'interpolation_for', 'is_one_picture',
           'local_batches', 'normalization', 'open_folders', 'open_pair', 'picture_bytes', 'preprocessing',
           'read_picture', 'shard_folder', 'statistics', 'training_batches', 'training_transform',
           'with_normalization', 'write_shards']
