"""What a run does first: it reads its command line, and checks what can be checked early."""

import sys

from common import UserError
from common.arguments import check_training
from common.backend import keras, tensorflow
from common.training import resuming, run_folder
from common.training.devices import LOST, Devices


def start(parser, argv):
    """Read the arguments of a run, find its devices, and check its folder.

    Returns the arguments, as `parser` does; the entry "data" of run.json, which is empty without
    --resume; and the `Devices`. Ends the program if something is wrong, after one line on stderr.
    """
    try:
        arguments = parser.parse_args(argv)
        devices, data = Devices(arguments.gpus), {}
        if arguments.resume:
            argv = sys.argv[1:] if argv is None else list(argv)
            name, folder = parser.prog.removesuffix(".py"), arguments.out
            record = devices.from_first(lambda: resuming.read_record(folder, name))
            arguments, data = resuming.arguments_of(record, parser, argv), record["data"]
        check_training(arguments)
        devices.check(arguments)
        devices.check_same(resuming.on_all_machines(arguments))
        devices.from_first(lambda: _check_folder_is_free(arguments))
        keras.utils.set_random_seed(arguments.seed)
        if arguments.deterministic:
            tensorflow.config.experimental.enable_op_determinism()
        return arguments, data, devices
    except UserError as problem:
        parser.error(problem)
    except OSError as problem:
        parser.error(f"{problem.filename}: {problem.strerror}")
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except LOST as problem:
        parser.exit(1, f"{parser.prog}: error: {devices.lost(problem)}\n")


def check_folder(arguments):
    """Raise UserError if the run cannot be saved in its folder, or would replace another run."""
    run_folder.check(arguments.out, arguments.resume or arguments.overwrite)


def _check_folder_is_free(arguments):
    check_folder(arguments)
    if arguments.out.exists():
        with run_folder.locked(arguments.out):
            pass  # an early error if another process trains there; `begin` locks it again
