"""The promises of the README and the rules of the house."""

import ast
import importlib
import re
import sys

import evaluate
import explore
import generate
from common.arguments import training_parser
from common.data import datasets
from common.judges import networks
from common.models.generators import Generator

import pytest
from conftest import ALL_SCRIPTS, PROJECT, exit_status

IMAGE_OPTIONS = {"--channels", "--image-size"}
EXTRA_OPTIONS = {
    "cgan_fashion": {"--embedding-dim", *IMAGE_OPTIONS},
    "cgan_mnist": IMAGE_OPTIONS,
    "gan_fashion": IMAGE_OPTIONS,
    "gaugan_facades": {
        "--pairs",
        "--image-size",
        "--layout-from",
        "--sample-every",
        "--vgg",
        "--width",
    },
    "wgan_gp_fashion": {"--critic-steps", "--penalty-weight", *IMAGE_OPTIONS},
}
REFERENCE = (PROJECT / "docs/reference.md").read_text(encoding="utf-8")
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def options(parser):
    """The long options of a parser."""
    return {name for action in parser._actions for name in action.option_strings} - {"-h", "--help"}


def imports(path):
    """The modules that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_the_readme_lists_every_option_and_no_other():
    parser = training_parser("any.py", "", epochs=1, batch_size=2, latent_dim=1)
    known = options(parser)
    for script in (generate, evaluate, explore):
        known |= options(script.define_parser())
    known |= {option for extra in EXTRA_OPTIONS.values() for option in extra}
    assert set(re.findall(r"`(--[a-z-]+)", REFERENCE)) == known


@pytest.mark.parametrize("name", ALL_SCRIPTS)
def test_the_command_line_is_the_same_everywhere(name, capsys):
    assert exit_status(importlib.import_module(name).main, ["--help"]) == 0
    parser = training_parser(name, "", epochs=1, batch_size=2, latent_dim=1, own_images=False)
    listed = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert listed == options(parser) | EXTRA_OPTIONS.get(name, set())


def test_the_readme_has_one_command_to_run_and_one_to_test():
    install = "python3 -m venv .venv && .venv/bin/pip install -r requirements"
    assert README.count(install) == 2
    assert f"{install}.txt && .venv/bin/python cgan_fashion.py\n" in README
    assert f"{install}-dev.txt && .venv/bin/python -m pytest\n" in README
    checks = (PROJECT / ".ci/run").read_text()
    assert "\npython -m pytest >" in checks and "\npython -m pytest -m slow " in checks


def test_what_the_documents_point_to_is_there():
    for path in [page for depth in ("*", "*/*", "*/*/*") for page in PROJECT.glob(f"{depth}.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path}: {target}"


def test_the_readme_is_read_in_three_screens():
    assert len(README.split()) <= 900


def test_each_script_has_a_trained_generator():
    documented = (PROJECT / "trained/README.md").read_text(encoding="utf-8")
    for name in ALL_SCRIPTS:
        generator = Generator(PROJECT / "trained" / name / "generator.keras")
        assert generator.name == name
        assert f"\npython {name}.py --data " in documented
    assert sum(path.stat().st_size for path in PROJECT.glob("trained/*/*")) < 40e6


@pytest.mark.parametrize(
    ("name", "class_names", "least"),
    [("cgan_fashion", datasets.CLOTHES, 0.86), ("cgan_mnist", datasets.DIGITS, 0.9)],
)
def test_the_trained_generators_draw_what_is_asked_for(name, class_names, least):
    """What README and trained/README.md say of them, on fewer samples."""
    generator = Generator(PROJECT / "trained" / name / "generator.keras")
    assert generator.class_names == class_names
    latents, labels, *_ = generate.choose_images(generator, (), 500, seed=1)
    images = generator.draw(latents, labels)
    judge = networks.load_judge(datasets.Dataset(images, labels, class_names, "sample"))
    assert networks.accuracy(judge, images, labels) > least


def test_imports_run_downhill_and_nothing_in_common_names_a_script():
    """A room imports from those below it, and the ground floor from none. There is no table of the
    scripts that are known: a sixth needs no change."""
    rooms = ["data", "models", "judges", "sampling", "training"]  # from the bottom
    for path in [*PROJECT.glob("*.py"), *PROJECT.glob("common/**/*.py")]:
        names = [name.split(".") for name in imports(path)]
        scripts = {script.stem for script in PROJECT.glob("*.py")}
        assert not {root for root, *_ in names} & scripts, f"{path} imports a script"
        if path.parent != PROJECT:
            words = set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
            assert not words & set(ALL_SCRIPTS), path
            room = path.relative_to(PROJECT / "common").parts[0]
            level = rooms.index(room) if room in rooms else -1
            imported = {name[1] for name in names if name[0] == "common" and len(name) > 1}
            above = [other for other in imported & set(rooms) if rooms.index(other) > level]
            assert not above, f"{path} imports from {above}"
            assert not (room == "training" and "sampling" in imported)


def test_rooms_say_what_lives_in_them_and_modules_stay_short():
    for room in ("", "data", "judges", "sampling", "models", "training"):
        text = (PROJECT / "common" / room / "__init__.py").read_text(encoding="utf-8")
        assert len(ast.get_docstring(ast.parse(text))) > 150
    for path in PROJECT.glob("common/**/*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


def test_nothing_but_the_four_packages_is_needed_to_run():
    listed = re.findall(r"^([a-z]+)", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    assert listed == ["keras", "matplotlib", "numpy", "tensorflow"]
    # matplotlib brings Pillow, and Keras h5py.
    allowed = {*listed, "PIL", "h5py", "common", *sys.stdlib_module_names}
    for path in [*PROJECT.glob("*.py"), *PROJECT.glob("common/**/*.py")]:
        assert {name.split(".")[0] for name in imports(path)} <= allowed


def test_one_dnn_is_on_unless_the_user_said_otherwise(run_script, monkeypatch):
    code = "import os, common; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    assert run_script("-c", code).stdout == "1\n"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert run_script("-c", code).stdout == "0\n"


@pytest.mark.parametrize("name", ALL_SCRIPTS)
def test_common_is_imported_before_keras(name):
    modules = list(imports(PROJECT / f"{name}.py"))
    first = next(number for number, name in enumerate(modules) if name.startswith("common"))
    assert first < modules.index("keras")
