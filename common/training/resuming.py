"""Which arguments a resumed run has, and which checkpoint it can continue from."""

import json
import math
import shlex
from pathlib import Path

from common import UserError
from common.training import checkpoints, folder
from common.training.progress import Progress

import numpy as np

# These may differ from what the run began with.
MAY_CHANGE = (
    *("epochs", "data", "checkpoint_minutes", "evaluate_every", "gpus"),
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
            "--evaluate-every, --gpus, --checkpoint-minutes and the place of the --data may change"
        )
    return now


def on_all_machines(arguments):
    """The arguments that must be the same on all machines that train together, as strings."""
    return {
        f"--{name.replace('_', '-')}": str(value)
        for name, value in vars(arguments).items()
        if name not in ("out", "data")
    }


def command(prog, run_folder, *options):
    """The command line that resumes the run of a script in its folder."""
    words = ["python", prog, "--resume", *options]
    if run_folder != Path("runs", Path(prog).stem):
        words += ["--out", str(run_folder)]
    return shlex.join(words)


def hint(prog, arguments, saved, devices):
    """What is saved when a run stops, and the command that goes on with it."""
    gpus = ["--gpus", str(arguments.gpus)] if arguments.gpus else []
    line = f"go on with: {command(prog, arguments.out, *gpus)}"
    if not devices.is_first:
        return f"with what the first machine has saved; {line} (on all machines)"
    everywhere = " (on all machines)" if devices.addresses else ""
    return f"with {saved} saved in {arguments.out}; {line}{everywhere}"


def record(script, arguments, data, progress):
    """The content of run.json: what a run has begun with, and how far it is."""
    kept = {key: value for key, value in vars(arguments).items() if key not in NOT_RECORDED}
    return folder.origin(script) | {
        "arguments": {name.replace("_", "-"): value for name, value in kept.items()},
        "data": data,
        "epochs_finished": progress.epochs,
        "seconds": round(progress.seconds, 1),
    }


def identity(arguments, data):
    """The settings that a run and its checkpoint must have in common: a dict, as JSON has it."""
    kept = {key: value for key, value in vars(arguments).items() if key not in MAY_CHANGE}
    return json.loads(json.dumps(kept | {"data": data["sha256"]}, default=str))


def restore(run_folder, models, script, arguments, data, devices):
    """Restore all variables of the models, which the first machine reads for all of them.

    Returns the `Progress`, the state of the random numbers, the learning rates that the script gave
    its optimizers, and what is saved with the generator on its latents; None if the run was stopped
    before its first checkpoint. Raises UserError if the checkpoint is damaged, or is not one of
    this run.
    """
    path, expected = run_folder / "checkpoint.npz", identity(arguments, data)

    def check(state):
        folder.check_origin(state, script)
        found = state["run"]
        for name in expected:  # a version of the script may have other options
            if name in found and found[name] != expected[name]:
                raise UserError(
                    f"is of another run: its {name.replace('_', '-')} is {found[name]}, "
                    f"but {expected[name]} in {run_folder / 'run.json'}"
                )

    def read():
        if not path.exists():
            return None
        try:
            return checkpoints.read(path, models, check)
        except UserError as problem:
            raise UserError(f"{problem}; {folder.START_ANEW}") from None

    state = devices.from_first(read)
    if state is None:
        return None
    try:
        progress, began = Progress.from_json(state["progress"]), state.get("learning_rates", {})
        np.random.default_rng().bit_generator.state = state["rng"]  # raises what is wrong with it
    except (LookupError, TypeError, ValueError, AttributeError) as problem:
        raise UserError(f"{path} is damaged: {problem}; {folder.START_ANEW}") from None
    if devices.addresses:
        checkpoints.copy_from_first(models, devices)
    return progress, state["rng"], began, state.get("latents")


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
