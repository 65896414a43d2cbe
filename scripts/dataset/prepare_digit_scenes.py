"""Draw scenes of several scanned digits, with boxes, masks and keypoints in COCO's layout, and as maps."""
from resnest.commands.prepare_scenes import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
