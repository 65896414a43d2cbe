"""Train a segmentation network, in one process or in several: horovodrun -np N resnest train-segmentation …"""


def main(arguments=None):
    from resnest.gluon.tasks.segmentation import SegmentationConfig, train
    from resnest.gluon.training import parse
    return train(*parse(SegmentationConfig, __doc__, arguments))
