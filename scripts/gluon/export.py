"""Write a network for other programs: as ONNX, or as mxnet's symbol and parameters in any precision; checked first."""
from resnest.commands.export import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
