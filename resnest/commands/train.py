"""Train a ResNeSt on RecordIO shards, in one process or in several: horovodrun -np N resnest train …"""


def main(arguments=None):
    from resnest.gluon.tasks.classification import ClassificationConfig, train
    from resnest.gluon.training import parse
    return train(*parse(ClassificationConfig, __doc__, arguments))
