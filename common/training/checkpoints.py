"""The whole state of a training run in one .npz file, read and written without pickle.

Neither a `.keras` file nor `tf.train.Checkpoint` holds the seeds of dropout layers, so a run that
is resumed from one of these continues differently. `model.variables` contains the seeds.
"""

import json

from common import UserError
from common.files import replacing

import numpy as np

FORMAT = 5


def save(path, models, state):
    """Write all variables of the models and their optimizers, and `state`, a dict for JSON.

    Raises OSError if the file cannot be written. An older file at `path` is kept then.
    """
    arrays = {key: variable.numpy() for key, variable in variables_of(models).items()}
    text = json.dumps({"format": FORMAT} | state, default=str)
    with replacing(path) as temporary:
        np.savez(temporary, state=np.frombuffer(text.encode(), np.uint8), **arrays)


def read(path, models, check_state):
    """Give models that were defined in the same way the variables that `save` has written.

    `check_state` is called with the state before anything else is read, and may raise any error.
    Returns the state. Raises UserError if the file is damaged or was saved for other models; the
    models have not changed then.
    """
    expected = variables_of(models)
    try:
        with open(path, "rb") as file, np.load(file) as archive:
            state = json.loads(archive["state"].tobytes())
            if state.get("format") != FORMAT:
                raise UserError(f"is a checkpoint of format {state.get('format')}, not of {FORMAT}")
            check_state(state)
            if differing := sorted(expected.keys() ^ (set(archive.files) - {"state"})):
                how = "missing" if differing[0] in expected else "not a variable of these models"
                raise UserError(f"is of other models: {differing[0]} is {how}")
            arrays = {key: archive[key] for key in expected}
            for key, variable in expected.items():
                found = arrays[key]
                if variable.dtype != str(found.dtype) or variable.shape != found.shape:
                    raise UserError(
                        f"is of other models: {key} is {found.dtype} {found.shape} where "
                        f"{variable.dtype} {tuple(variable.shape)} is expected"
                    )
    except UserError as problem:
        raise UserError(f"{path} {problem}") from None
    except Exception as problem:  # zipfile, zlib, numpy and json raise many types of it
        raise UserError(f"{path} is damaged or of other models: {problem}") from None
    for key, variable in expected.items():
        variable.assign(arrays[key])
    return state


def learning_rates(models):
    """The learning rates that the script gives its optimizers, by model.

    An optimizer with a schedule is left out: its rate follows from the number of the step.
    """
    compiled = {name: optimizer_of(model) for name, model in models.items() if model.compiled}
    rates = {name: optimizer.get_config()["learning_rate"] for name, optimizer in compiled.items()}
    return {name: float(rate) for name, rate in rates.items() if not isinstance(rate, dict)}


def optimizer_of(model):
    """The optimizer that updates the weights: a LossScaleOptimizer, for 16 bits, contains it."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def variables_of(models):
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
