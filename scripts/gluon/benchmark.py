"""Images per second of ResNeSt next to gluoncv's and ONNX Runtime, or of preparing and reading images (data)."""
from resnest.commands.benchmark import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
