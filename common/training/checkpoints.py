"""The whole state of a training run in one .npz file, read and written without pickle.

Neither a `.keras` file nor `tf.train.Checkpoint` holds the seeds of dropout layers, so a run that
is resumed from one of these continues differently. `model.variables` contains the seeds.
"""

import json

from common import UserError
from common.files import replacing

import numpy as np

FORMAT = 4


def save(path, models, state):
    """Write all variables of the models and their optimizers, and `state`, a dict for JSON.

    Raises OSError if the file cannot be written. An older file at `path` is kept then.
    """
    arrays = {key: variable.numpy() for key, variable in _variables(models).items()}
    text = json.dumps({"format": FORMAT} | state, default=str)
    with replacing(path) as temporary:
        np.savez(temporary, state=np.frombuffer(text.encode(), np.uint8), **arrays)


def read(path, models, check_state):
    """Give models that were defined in the same way the variables that `save` has written.

    `check_state` is called with the state before anything else is read, and may raise UserError.
    Returns the state. Raises UserError if the file is damaged or was saved for other models; the
    models have not changed then.
    """
    expected = _variables(models)
    try:
        with open(path, "rb") as file, np.load(file) as archive:
            state = json.loads(archive["state"].tobytes())
            if not isinstance(state, dict) or state.get("format") != FORMAT:
                found = state.get("format") if isinstance(state, dict) else None
                raise UserError(f"is a checkpoint of format {found}, not of {FORMAT}")
            check_state(state)
            if differing := sorted(expected.keys() ^ (set(archive.files) - {"state"})):
                how = "missing" if differing[0] in expected else "not a variable of these models"
                raise UserError(f"is of other models: {differing[0]} is {how}")
            arrays = {key: archive[key] for key in expected}
            for key, variable in expected.items():
                wanted, found = (variable.dtype, tuple(variable.shape)), arrays[key]
                if wanted != (str(found.dtype), found.shape):
                    raise UserError(
                        f"is of other models: {key} is {found.dtype} {found.shape} where "
                        f"{wanted[0]} {wanted[1]} is expected"
                    )
    except UserError as problem:
        raise UserError(f"{path} {problem}") from None
    except Exception as problem:  # zipfile, zlib, numpy and json raise many types of it
        raise UserError(f"{path} is damaged or of other models: {problem}") from None
    for key, variable in expected.items():
        variable.assign(arrays[key])
    return state


def copy_from_first(models, devices):
    """Give all variables of the models the values that they have on the first machine."""
    for variable in _variables(models).values():
        variable.assign(devices.array_from_first(variable.numpy()))


def is_finite(models):
    """Whether no variable of the models is NaN or infinite."""
    return all(np.isfinite(variable.numpy()).all() for variable in _variables(models).values())


def learning_rates(models):
    """The learning rates that the script gives its optimizers, by model.

    An optimizer with a schedule is left out: its rate follows from the number of the step.
    """
    found = {}
    for name, model in models.items():
        if model.compiled:
            rate = optimizer_of(model).get_config()["learning_rate"]
            if not isinstance(rate, dict):
                found[name] = float(rate)
    return found


def optimizer_of(model):
    """The optimizer that updates the weights: a LossScaleOptimizer, for 16 bits, contains it."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def _variables(models):
    """All variables by name, each once: the composite model and the generator share weights."""
    found, seen = {}, set()
    for name, model in models.items():
        variables = list(model.variables)
        if model.compiled:
            if not model.optimizer.built:  # a second build would create a second loss scale
                model.optimizer.build(model.trainable_variables)
            variables += model.optimizer.variables
        for number, variable in enumerate(variables):
            if id(variable) not in seen:
                seen.add(id(variable))
                found[f"{name}/{number:03d}"] = variable
    return found
