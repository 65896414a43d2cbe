"""The recipe of a pose network: what a run of any task has, and what only this one needs."""
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError
from resnest.gluon.training.config import OPTIMIZERS, TrainConfig
from resnest.gluon.training.fields import option, switch

__all__ = ['PoseConfig']


@dataclass
class PoseConfig(TrainConfig):
    """Every choice of a training run, with the defaults of the published pose networks.

    Raises InputError for a value out of range, and for values that contradict each other.
    """
    usual_adam_lr, usual_warmup = 0.001 / 128, 0.0      # Xiao et al., 2018, section 4.1
    model: Optional[str] = option(None, 'network: simple_pose_resnest50, 101, …; that of the weights of '
                                  '--resume-params, else simple_pose_resnest50, unless given', resume='own',
                                  group='network')
    model_options: Optional[dict] = option(None, "what differs from the model's row of the table: base=resnest14 "
                                           'height=128 width=96', group='network')
    pretrained: bool = switch('start from the published weights of the whole network, with a new last layer for other '
                              'than 17 joints', group='network')
    pretrained_backbone: bool = switch('start from the published ImageNet weights of the backbone', group='network')
    resume_params: Optional[str] = option(None, 'start from a .params file of the same network, with a new last layer '
                                          'where it is for another number of joints, or of a classifier, which is '
                                          'then the backbone', resume='free', group='network')
    data_dir: Optional[str] = option(None, "data set in COCO's layout: annotations/person_keypoints_train2017.json "
                                     'beside train2017/, and the same for val2017', resume='free', group='data')
    annotations: Optional[str] = option(None, 'instead: annotations to train on', resume='free', group='data')
    images: Optional[str] = option(None, 'and the folder of their pictures', resume='free', group='data')
    val_annotations: Optional[str] = option(None, 'annotations to validate by', resume='free', group='data')
    val_images: Optional[str] = option(None, 'and the folder of their pictures; --images unless given', resume='free',
                                       group='data')
    scale: float = option(0.25, 'standard deviation of the factor of the size of what is cut out', least=0, below=1,
                          group='images')
    rotation: float = option(30.0, 'standard deviation of the angle in degrees by which six of ten crops are turned',
                             least=0, most=180, group='images')
    hflip: float = option(0.5, 'probability of the mirror image', least=0, most=1, group='images')
    batch_size: int = option(32, 'people at a time on each rank', least=1, resume='scaled', group='optimization')
    num_epochs: int = option(140, 'epochs', least=1, group='optimization')
    optimizer: str = option('adam', "sgd: Nesterov's gradient; adam; adamw: Adam with decay apart from the gradient",
                            choices=OPTIMIZERS, group='optimization')
    lr: Optional[float] = option(None, 'learning rate of one batch of one rank, multiplied by the ranks and by '
                                 '--accumulate; 0.001 x batch size / 128 unless given, for SGD 0.1 x batch size / 256',
                                 least=0, resume='scaled', group='optimization')
    warmup_epochs: Optional[float] = option(None, 'epochs of linear warm-up from 0; none unless given', least=0,
                                            resume='scaled', group='optimization')
    wd: Optional[float] = option(0.0, 'weight decay, on the weights of convolutions', least=0, resume='scaled',
                                 group='optimization')
    last_gamma: bool = switch('start the last scale of each block at zero', group='network')

    def __post_init__(self):
        super().__post_init__()
        files = self.annotations, self.images, self.val_annotations
        if self.data_dir and any((*files, self.val_images)):
            raise InputError('--data-dir is a whole data set, --annotations and --images are parts of one; leave out '
                             'one or the other')
        if any((*files, self.val_images)) and not all(files):
            raise InputError('give --annotations, --images and --val-annotations, all three')
        if self.pretrained_backbone and (self.pretrained or self.resume_params):
            raise InputError('--pretrained-backbone, --pretrained and --resume-params all say what to start from; give '
                             'one of them')
        if self.sharding == 'local':
            raise InputError('--sharding local is for shards, of which each machine has its own; leave it out')

    @property
    def start(self):
        return super().start or self.pretrained_backbone
