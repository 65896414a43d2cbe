"""Write ImageNet (ILSVRC 2012), or any folder of images, as shuffled RecordIO shards with a manifest."""
from resnest.commands.prepare import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
