"""The command ``resnest NAME …``, which ``python -m resnest NAME …`` is too."""
import importlib
import sys

from resnest import __version__
from resnest.errors import InputError, run_command

__all__ = ['COMMANDS', 'run']

# name → (module of resnest.commands, what it does)
COMMANDS = {
    'train': ('train', 'train a classifier, in one process or with horovodrun'),
    'verify': ('verify', 'exact top-1 and top-5 of a data set'),
    'classify': ('classify', 'name what is in pictures, draw what was looked at'),
    'train-segmentation': ('segmentation.train', 'train a segmentation network'),
    'verify-segmentation': ('segmentation.verify', 'exact pixel accuracy and mIoU of a data set'),
    'segment': ('segmentation.segment', 'draw what is where in pictures'),
    'train-detection': ('detection.train', 'train a detector'),
    'verify-detection': ('detection.verify', 'exact AP of boxes and masks of a data set'),
    'detect': ('detection.detect', 'find the objects in pictures, draw them'),
    'train-pose': ('pose.train', 'train a pose network'),
    'verify-pose': ('pose.verify', 'exact AP of joints of a data set'),
    'pose': ('pose.pose', 'find the joints of people in pictures, draw them'),
    'export': ('export', 'write a network for other programs'),
    'convert': ('convert', "weights of PyTorch and timm to Gluon's, and back"),
    'prepare': ('prepare', 'ImageNet, or any folders of pictures, as RecordIO shards'),
    'prepare-digits': ('prepare_digits', "scikit-learn's scanned digits as RecordIO shards"),
    'prepare-digit-scenes': ('prepare_scenes', 'pictures of digits with boxes, masks, keypoints, maps'),
    'models': ('models', 'table of the networks'),
    'memory': ('foretelling.memory', 'what a recipe takes of a GPU, and which batches fit'),
    'env': ('env', 'versions, threads, devices, Horovod, and what is missing'),
    'benchmark': ('benchmark', 'images per second beside other implementations'),
    'scaling': ('foretelling.scaling', 'forecast what many ranks gain, or measure it here'),
    'design-space': ('design_space', 'train networks drawn from spaces, draw their errors'),
    'ablation': ('ablation', 'train the rows of an ablation, table and draw them'),
}


def usage():
    """The list of the commands."""
    width = max(map(len, COMMANDS))
    return '\n'.join(['usage: resnest COMMAND [options]', '', 'ResNeSt for MXNet Gluon', '', 'commands:',
                      *(f'  {name:{width}}  {text}' for name, (_, text) in COMMANDS.items()), '',
                      'resnest COMMAND --help tells the options of a command,',
                      'resnest --version the version'])


def main():
    words = sys.argv[1:]
    if words[:1] == ['help'] and words[1:]:
        words = [words[1], '--help']
    if not words or words[0] in ('-h', '--help', 'help'):
        print(usage())
        return 0 if words else 2
    if words[0] == '--version':
        print(f'resnest {__version__}')
        return 0
    name = words[0]
    if name not in COMMANDS:
        from resnest.reading import did_you_mean, one_line  # not before: env works where yaml is missing
        raise InputError(f"there is no command '{one_line(name, 60)}'"
                         f"{did_you_mean(name, COMMANDS, 'resnest --help lists all')}")
    sys.argv = [f'resnest {name}', *words[1:]]      # what --help calls the command
    return importlib.import_module(f'resnest.commands.{COMMANDS[name][0]}').main()


def run():
    """The entry point of the console script."""
    run_command(main)


if __name__ == '__main__':
    run()
