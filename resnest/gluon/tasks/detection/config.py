"""The recipe of a detector: what a run of any task has, and what only this one needs."""
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError
from resnest.gluon.training.config import SCHEDULES, TrainConfig
from resnest.gluon.training.fields import option, switch

from .geometry.sizes import COARSEST, LONGEST_SIDE

__all__ = ['DetectionConfig']

WARMUP, WARMUP_SHARE = 1000, 10     # steps, or a tenth of a short run
FALLS = (2 / 3, 8 / 9)              # of the run: where the learning rate falls
BEST = ('box_ap', 'mask_ap', 'pq')


@dataclass
class DetectionConfig(TrainConfig):
    """Every choice of a training run, with the defaults of the paper's detectors (section 5.3 and appendix A).

    Raises InputError for a value out of range, and for values that contradict each other.
    """
    usual_sgd_lr, usual_warmup = 0.02 / 16, 0.0     # the paper's rate is for batches of 16
    model: Optional[str] = option(None, 'network: mask_rcnn_fpn_resnest50 or another that resnest models --task '
                                  'detection lists; that of the weights of --resume-params, else '
                                  'faster_rcnn_fpn_resnest50, unless given', resume='own', group='network')
    model_options: Optional[dict] = option(None, "what differs from the model's row of the table: base=resnest14 "
                                           'short_side=400', group='network')
    pretrained: bool = switch('start from the published weights of the whole network, with new last layers for other '
                              'than 80 classes', group='network')
    pretrained_backbone: bool = switch('start from the published ImageNet weights of the backbone', group='network')
    resume_params: Optional[str] = option(None, 'start from weights of the same network, with new last layers where '
                                          'they are for another number of classes, or of a backbone or a classifier '
                                          'alone', resume='free', group='network')
    data_dir: Optional[str] = option(None, 'data set laid out as COCO: annotations/instances_train2017.json beside '
                                     'train2017/, the same for val', resume='free', group='data')
    annotations: Optional[str] = option(None, "instead: a file of annotations in COCO's format", resume='free',
                                        group='data')
    images: Optional[str] = option(None, 'and the folder of its pictures', resume='free', group='data')
    val_annotations: Optional[str] = option(None, 'and a file of annotations to validate by', resume='free',
                                            group='data')
    val_images: Optional[str] = option(None, 'and the folder of its pictures; that of --images unless given',
                                       resume='free', group='data')
    short_sides: Optional[list] = option(None, 'sides in pixels among which the shorter one of a picture is drawn; 0.8 '
                                         "times the model's own to its own unless given", items=int, least=1,
                                         most=LONGEST_SIDE, group='images')
    side_choice: str = option('range', 'range: any side from the least to the largest of --short-sides; list: one of '
                              'them', choices=('range', 'list'), group='images')
    long_side: Optional[int] = option(None, "the longer side of a picture at most, in pixels; the model's own unless "
                                      'given', least=1, most=LONGEST_SIDE, group='images')
    hflip: float = option(0.5, 'probability of the mirror image', least=0, most=1, group='images')
    crop: Optional[float] = option(None, 'least share of the height and of the width that a random crop leaves; no '
                                   'crop unless given', above=0, most=1, group='images')
    pad_multiple: int = option(32, 'height and width of a batch are padded to multiples of so many pixels, a multiple '
                               'of 32: few shapes are faster, and it matters less which pictures a rank has together',
                               least=COARSEST, most=LONGEST_SIDE, group='images')
    batch_size: int = option(2, 'pictures at a time on each rank', least=1, resume='scaled', group='optimization')
    num_epochs: int = option(12, 'epochs', least=1, group='optimization')
    lr: Optional[float] = option(None, 'learning rate of one batch of one rank, multiplied by the ranks and by '
                                 '--accumulate; 0.02 x batch size / 16 unless given, for Adam 0.001 x batch size / '
                                 '1024', least=0, resume='scaled', group='optimization')
    optimizer: str = option('sgd', 'sgd: with plain momentum; adam; adamw: Adam with decay apart from the gradient',
                            choices=('sgd', 'adam', 'adamw'), group='optimization')
    lr_schedule: str = option('step', 'after the warm-up: step: by --lr-decay after each of --milestones or '
                              '--milestone-steps, after 2/3 and 8/9 of the run unless given; half a cosine; poly: a '
                              'power of what is left; or constant', choices=SCHEDULES, group='optimization')
    warmup_epochs: Optional[float] = option(None, 'epochs of linear warm-up; 1000 steps, but no more than a tenth of '
                                            'the run, unless given', least=0, resume='scaled', group='optimization')
    warmup_factor: float = option(0.001, 'factor of the learning rate at the first step of the warm-up', least=0,
                                  below=1, group='optimization')
    momentum: float = option(0.9, 'momentum', least=0, below=1, group='optimization')
    wd: Optional[float] = option(None, 'weight decay, on weights and biases, not on scales and shifts of '
                                 'normalizations; 0.0001, for adamw 0.05, unless given', least=0, resume='scaled',
                                 group='optimization')
    anchors: int = option(256, 'anchors of a picture that proposals are learned from', least=1, most=1 << 20,
                          group='optimization')
    proposals_before: int = option(2000, 'proposals of each level before their suppression, in training', least=1,
                                   most=100_000, group='optimization')
    proposals: int = option(1000, 'proposals of a picture after it, in training', least=1, most=10_000,
                            group='optimization')
    regions: int = option(512, 'regions of a picture that the heads learn from; at most a quarter are objects',
                          least=1, most=10_000, group='optimization')
    kinds_weight: float = option(0.5, 'weight of the loss of the kinds of pixels, in panoptic networks', least=0,
                                 group='regularization')
    precise_bn: int = option(0, "batches that batch norms' statistics are computed anew from before each evaluation; 0 "
                             'takes the running averages', least=0, resume='free', group='optimization')
    best: Optional[str] = option(None, 'figure by which best.params is chosen: box_ap, mask_ap or pq; the last that '
                                 'the network has unless given', choices=BEST, group='output')

    def __post_init__(self):
        super().__post_init__()
        own = [name for name in ('annotations', 'images', 'val_annotations', 'val_images') if getattr(self, name)]
        if self.data_dir and own:
            raise InputError(f"--data-dir is a whole data set, --{own[0].replace('_', '-')} a part of one; leave out "
                             'one or the other')
        if own and not (self.annotations and self.images and self.val_annotations):
            raise InputError('without --data-dir give --annotations, --images and --val-annotations')
        starts = [name for name in ('pretrained', 'pretrained_backbone', 'resume_params') if getattr(self, name)]
        if len(starts) > 1:
            raise InputError('--pretrained-backbone, --pretrained and --resume-params all say what to start from; give '
                             'one of them')
        if self.pad_multiple % COARSEST:
            raise InputError(f'--pad-multiple must be a multiple of {COARSEST}, got {self.pad_multiple}')
        if self.sharding == 'local':
            raise InputError('--sharding local is for shards, of which each machine has its own; leave it out')
        if self.dtype != 'float32':
            raise InputError(f'detectors train in float32 only; leave out --dtype {self.dtype}')

    def _check_milestones(self):
        if self.milestones or self.milestone_steps:
            super()._check_milestones()

    def settle_steps(self, steps):
        super().settle_steps(steps)
        total = self.total_steps(steps)
        if self.warmup_epochs is None:
            self.warmup_epochs = min(WARMUP, total // WARMUP_SHARE) / steps
        if self.lr_schedule == 'step' and not (self.milestones or self.milestone_steps):
            self.milestone_steps = [max(1, round(share * total)) for share in FALLS]

    @property
    def start(self):
        return super().start or self.pretrained_backbone
