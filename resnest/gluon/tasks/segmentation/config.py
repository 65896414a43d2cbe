"""The recipe of a segmentation network: what a run of any task has, and what only this one needs."""
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError
from resnest.gluon.training.config import SCHEDULES, TrainConfig
from resnest.gluon.training.fields import needs, option, switch

__all__ = ['SegmentationConfig']


@dataclass
class SegmentationConfig(TrainConfig):
    """Every choice of a training run, with the defaults of the published segmentation networks.

    Raises InputError for a value out of range, and for values that contradict each other.
    """
    usual_sgd_lr, usual_warmup = 0.1 / 16, 0.0      # the paper's rate is for batches of 16
    of_use_with = {**TrainConfig.of_use_with,
                   'hard_share': needs('--hard-threshold', lambda recipe: recipe.hard_threshold is not None)}
    model: Optional[str] = option(None, 'network: deeplab_resnest50_ade, 101, 200 or 269; that of the weights of '
                                  '--resume-params, else deeplab_resnest50_ade, unless given', resume='own',
                                  group='network')
    model_options: Optional[dict] = option(None, "what differs from the model's row of the table: base=resnest14 "
                                           'output_stride=16', group='network')
    pretrained: bool = switch('start from the published weights of the whole network, with new last layers for other '
                              'than 150 classes', group='network')
    pretrained_backbone: bool = switch("start from the published ImageNet weights of the backbone", group='network')
    resume_params: Optional[str] = option(None, 'start from a .params file of the same network, with new last layers '
                                          'where it is for another number of classes, or of a classifier, which is '
                                          'then the backbone', resume='free', group='network')
    data_dir: Optional[str] = option(None, 'data set: ADE20K, Cityscapes or Pascal VOC as they are unpacked, or '
                                     'images/train/ beside maps/train/ and so on', resume='free', group='data')
    images: Optional[str] = option(None, 'instead: a folder of images, with train/ and val/ in it or neither',
                                   resume='free', group='data')
    maps: Optional[str] = option(None, 'and the folder of their maps, of the same names', resume='free', group='data')
    classes: Optional[str] = option(None, 'names of the classes: a file with one on each line; classes.txt in the '
                                    'folder of the data, or numbers, unless given', resume='free', group='data')
    val_fraction: Optional[float] = option(None, 'share of the images that is held out for validation, by the seed and '
                                           'the names, where they are not split; 0.1 unless given', above=0, below=1,
                                           group='data')
    num_classes: Optional[int] = option(None, 'classes; the data tell', least=2, resume='own', group='data')
    crop_size: Optional[int] = option(None, "side of the training crops in pixels; the model's own unless given",
                                      least=1, most=1 << 14, resume='own', group='images')
    base_size: Optional[int] = option(None, 'edge in pixels that the random scale refers to, and those of multi-scale '
                                      "evaluation; the model's own unless given", least=1, most=1 << 14, resume='own',
                                      group='images')
    scale: list = option((0.5, 2.0), "least and largest longer side of the scaled image, as a share of --base-size",
                         items=float, length=2, above=0, most=100, metavar=('LOW', 'HIGH'), group='images')
    hflip: float = option(0.5, 'probability of the mirror image', least=0, most=1, group='images')
    blur: float = option(0.5, 'probability of a Gaussian blur of up to 1 pixel', least=0, most=1, group='images')
    color_jitter: float = option(0.0, 'brightness, contrast and saturation change by up to this share each, '
                                 'lighting by a quarter of it; 0 is neither', least=0, most=1, group='images')
    batch_size: int = option(16, 'crops at a time on each rank', least=1, resume='scaled', group='optimization')
    num_epochs: int = option(120, 'epochs', least=1, group='optimization')
    lr: Optional[float] = option(None, 'learning rate of one batch of one rank, multiplied by the ranks and by '
                                 '--accumulate; 0.1 x batch size / 16 unless given, for Adam 0.001 x batch size / '
                                 '1024', least=0, resume='scaled', group='optimization')
    lr_schedule: str = option('poly', 'after the warm-up: poly: a power of what is left; half a cosine; step: by '
                              '--lr-decay after each of --milestones; or constant', choices=SCHEDULES,
                              group='optimization')
    warmup_epochs: Optional[float] = option(None, 'epochs of linear warm-up from 0; none unless given', least=0,
                                            resume='scaled', group='optimization')
    head_lr_factor: float = option(10.0, 'learning rate of the heads, relative to --lr', above=0, group='optimization')
    best: str = option('miou', 'figure by which best.params is chosen', choices=('miou', 'pixel_accuracy'),
                       group='output')
    aux_weight: float = option(0.5, 'weight of the loss of the auxiliary head on layer3; 0 leaves out that head',
                               least=0, group='regularization')
    class_weights: Optional[list] = option(None, 'weights of the classes in the loss, in the order of the labels; all '
                                           'alike unless given', items=float, least=0, group='regularization')
    hard_threshold: Optional[float] = option(None, 'online hard example mining: of each batch only those pixels count '
                                             'whose label has at most this probability; 0.7 where no value is given',
                                             above=0, below=1, nargs='?', const=0.7, group='regularization')
    hard_share: float = option(0.05, "least share of a batch's pixels that count in spite of that", least=0, most=1,
                               group='regularization')
    last_gamma: bool = switch('start the last scale of each block at zero', group='network')
    dropblock_prob: float = option(0.0, 'DropBlock probability at the end of its linear ramp; the published networks '
                                   'have 0.1', least=0, below=1, group='regularization')
    drop_path: float = option(0.0, 'stochastic depth: probability that a sample leaves out the last block, which grows '
                              'linearly over the blocks', least=0, below=1, group='regularization')

    def __post_init__(self):
        super().__post_init__()
        if self.data_dir and (self.images or self.maps):
            raise InputError('--data-dir is a whole data set, --images and --maps are two folders; leave out one or '
                             'the other')
        if (self.images is None) != (self.maps is None):
            raise InputError('--images and --maps are two folders of the same names: give both')
        if self.pretrained_backbone and (self.pretrained or self.resume_params):
            raise InputError('--pretrained-backbone, --pretrained and --resume-params all say what to start from; give '
                             'one of them')
        if self.class_weights and not any(self.class_weights):
            raise InputError('--class-weights: all of them are 0, so that nothing would be learned; give one above 0')
        low, high = self.scale
        if low > high:
            raise InputError(f'--scale {low:g} {high:g}: the smaller number comes first')
        if self.sharding == 'local':
            raise InputError('--sharding local is for shards, of which each machine has its own; leave it out')

    @property
    def start(self):
        return super().start or self.pretrained_backbone
