"""Which arguments a resumed run has, and which checkpoint it can continue from."""

import json
import shlex
from pathlib import Path

from common import UserError
from common.training import folder

# These may differ from what the run began with.
MAY_CHANGE = (
    *("epochs", "data", "checkpoint_minutes", "evaluate_every", "gpus"),
    *("out", "resume", "overwrite"),
)


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


def identity(arguments, data):
    """The settings that a run and its checkpoint must have in common: a dict, as JSON has it."""
    kept = {key: value for key, value in vars(arguments).items() if key not in MAY_CHANGE}
    return json.loads(json.dumps(kept | {"data": data["sha256"]}, default=str))


def check_state(script, expected, run_folder):
    """A function that raises UserError if the state in a checkpoint is of another run.

    `script` is the name of the script that resumes the run in `run_folder`, and `expected` the
    `identity` of that run.
    """

    def check(state):
        folder.check_origin(state, script)
        found = state["run"]
        for name in expected.keys() & found.keys():
            if found[name] != expected[name]:
                raise UserError(
                    f"is of another run: its {name.replace('_', '-')} is {found[name]}, "
                    f"but {expected[name]} in {run_folder / 'run.json'}"
                )

    return check
