"""Which arguments a resumed run has, and which checkpoint it can continue from."""

import json
import math
from pathlib import Path

from common import UserError
from common.arguments import command_line
from common.training import checkpoints, folder
from common.training.progress import Progress
from common.training.quality import best

import numpy as np

# These may differ from what the run began with.
MAY_CHANGE = (
    *("epochs", "data", "checkpoint_minutes", "evaluate_every", "keep_every", "gpus"),
    *("out", "resume", "overwrite"),
)
NOT_RECORDED = ("out", "resume", "overwrite", "gpus")  # in run.json


def arguments_of(record, parser, argv):
    """The arguments of a resumed run: those that it began with, except where `argv` changes them.

    `record` is the content of run.json, and the arguments are as `parser` returns them. Raises
    UserError if `argv` changes an argument that is not in `MAY_CHANGE`.
    """
    # The source that "auto" has found, since it may find another one now.
    stored = record["arguments"] | {"data": record["data"]["source"]}
    stored = {name.replace("-", "_"): value for name, value in stored.items()}
    known = vars(parser.parse_args(argv)).keys() & stored.keys()
    # argparse gives a default that is text to the option's type, so a path becomes a Path again.
    parser.set_defaults(**{name: stored[name] for name in known})
    began, now = parser.parse_args([]), parser.parse_args(argv)
    for key, value in vars(now).items():
        if value == "auto":  # for example --data auto: keep what it has found when the run began
            setattr(now, key, getattr(began, key))
    differing = [
        f"--{key.replace('_', '-')} {value} (it began with {getattr(began, key)})"
        for key, value in vars(now).items()
        if value != getattr(began, key) and key not in MAY_CHANGE
    ]
    if differing:
        raise UserError(
            f"the run in {now.out} cannot go on with {', '.join(differing)}; --epochs, "
            "--evaluate-every, --keep-every, --gpus, --checkpoint-minutes and the place of the "
            "--data may change"
        )
    return now


def on_all_machines(arguments):
    """The options that must be the same on all machines that train together, as strings."""
    options = _options(arguments, "out", "data").items()
    return {f"--{name}": str(value) for name, value in options}


def _options(arguments, *left_out):
    """The arguments by the names of their options, but for those that are left out."""
    kept = {key: value for key, value in vars(arguments).items() if key not in left_out}
    return {key.replace("_", "-"): value for key, value in kept.items()}


def command(prog, run_folder, *options):
    """The command line that resumes the run of a script in its folder."""
    usual = run_folder == Path("runs", Path(prog).stem)
    return command_line(prog, "--resume", *options, *([] if usual else ["--out", str(run_folder)]))


def hint(prog, arguments, saved, devices):
    """What is saved when a run stops, and the command that goes on with it."""
    gpus = ["--gpus", str(arguments.gpus)] if arguments.gpus else []
    line = f"go on with: {command(prog, arguments.out, *gpus)}"
    if not devices.is_first:
        return f"with what the first machine has saved; {line} (on all machines)"
    everywhere = " (on all machines)" if devices.addresses else ""
    return f"with {saved} saved in {arguments.out}; {line}{everywhere}"


def record(script, arguments, data, progress, device):
    """The content of run.json: what a run has begun with, and how far it is."""
    kept, found = None, best(progress.quality)
    if found and (arguments.out / "best.keras").exists():  # it may have been deleted
        epoch, name, score = found
        kept = {"epoch": epoch, name: score}
    return folder.origin(script) | {
        "arguments": _options(arguments, *NOT_RECORDED),
        "data": data,
        "epochs_finished": progress.epochs,
        "seconds": round(progress.seconds, 1),
        "device": device,
        "best": kept,
    }


def identity(arguments, data):
    """The settings that a run and its checkpoint must have in common: a dict, as JSON has it."""
    options = _options(arguments, *MAY_CHANGE) | {"data": data["sha256"]}
    return json.loads(json.dumps(options, default=str))


def restore(run_folder, models, script, arguments, data, devices):
    """Restore all variables of the models, which the first machine reads for all of them.

    Returns the state that was saved with them, or None if the run was stopped before its first
    checkpoint. Raises UserError if the checkpoint is damaged, or is not one of this run.
    """
    path, expected = run_folder / "checkpoint.npz", identity(arguments, data)

    def check(state):
        folder.check_origin(state, script)
        for name, value in expected.items():
            found = state["run"].get(name, value)  # a version of the script may have other options
            if found != value:
                raise UserError(
                    f"is of another run: its {name} is {found}, "
                    f"but {value} in {run_folder / 'run.json'}"
                )
        Progress.from_json(state["progress"])
        np.random.default_rng().bit_generator.state = state["rng"]  # raises what is wrong with it

    def read():
        try:
            return checkpoints.read(path, models, check) if path.exists() else None
        except UserError as problem:
            raise UserError(f"{problem}; {folder.START_ANEW}") from None

    state = devices.from_first(read)
    if state and devices.addresses:
        for variable in checkpoints.variables_of(models).values():
            variable.assign(devices.array_from_first(variable.numpy()))
    return state


def keep_learning_rates(models, rates, began):
    """Give the optimizers the learning rates of the script where these have been edited.

    The variables of a checkpoint include the learning rates. `rates` are those of the script, by
    model, and `began` those that it had when the checkpoint was saved. So a rate that the training
    itself has changed stays. Returns a line for each rate that is another now.
    """
    lines = []
    for name, rate in rates.items():
        optimizer = checkpoints.optimizer_of(models[name])
        before = float(began.get(name, optimizer.learning_rate.numpy()))
        if not math.isclose(before, rate, rel_tol=1e-6):
            optimizer.learning_rate = rate
            lines.append(f"The learning rate of `{name}` is now {rate:g}; it was {before:g}.")
    return lines
