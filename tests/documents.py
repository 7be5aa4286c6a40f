"""Reading the commands, quotations, diffs and figures of the Markdown files."""

import re
import textwrap

from conftest import PROJECT

DOCUMENTS = [
    PROJECT / "README.md",
    *sorted(PROJECT.glob("docs/*.md")),
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "trained/README.md",
]
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def read(path):
    return path.read_text(encoding="utf-8")


def fenced(text, language):
    """The contents of the blocks of a language, without their indentation."""
    return [textwrap.dedent(code) for _, name, code in FENCE.findall(text) if name == language]


def commands(text):
    """All command lines, in their order: those in blocks, and those in backticks in a sentence."""
    found = []
    pattern = re.compile(FENCE.pattern + r"|`(python [^`]+)`", FENCE.flags)
    for _, language, code, inline in pattern.findall(text):
        lines = code.splitlines() if language == "sh" else [inline] if inline else []
        found += [" ".join(line.partition("#")[0].split()) for line in lines]
    return [command for command in found if command]


def edits(text, section=""):
    """The diffs in a text as pairs (old, new), from the heading that begins with `section` on."""
    start = text.index(f"\n{section}") if section else 0
    pairs = []
    for diff in fenced(text[start:], "diff"):
        lines = diff.splitlines()
        old, new = (
            "".join(f"{line[1:]}\n" for line in lines if not line.startswith(other))
            for other in "+-"
        )
        pairs.append((old, new))
    return pairs


def apply(pairs, code):
    """Make the edits in a script. Each place must be there exactly once."""
    for old, new in pairs:
        assert code.count(old) == 1, f"not once in the script:\n{old}"
        code = code.replace(old, new)
    return code
