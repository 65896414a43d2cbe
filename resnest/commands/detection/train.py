"""Train a detector, in one process or in several: horovodrun -np N resnest train-detection …"""


def main(arguments=None):
    from resnest.gluon.tasks.detection import DetectionConfig, train
    from resnest.gluon.training import parse
    return train(*parse(DetectionConfig, __doc__, arguments))
