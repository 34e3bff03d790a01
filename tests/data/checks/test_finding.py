import ast
from pathlib import Path

import pytest

import medvol.data.checks as checks
from medvol.data.checks import KINDS, Problem


def test_severity_is_one_of_three():
    with pytest.raises(ValueError, match="must be one of error, warning, note; found 'fatal'"):
        Problem("constant", "fatal", "a", "b", "c")


def test_every_kind_that_a_check_names_is_explained():
    used = set()
    for file in Path(checks.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem":
                used |= {n.value for n in node.args[:1] if isinstance(n, ast.Constant)}
    assert len(used) > 12
    assert used - set(KINDS) == set()
