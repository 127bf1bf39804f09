"""docs/operator.md against the code: what it lists as covered exists and a test raises it, and the reverse."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import fiabench.npu_operator
from tests.npu_operator import test_refusals, test_refusals_by_name, test_refusals_lengths
from tests.npu_operator.refusing import provided, refusal

ROOT = Path(__file__).parents[2]
PACKAGE = Path(fiabench.npu_operator.__file__).parent
FUNCTION = re.compile(r"(Check|Compare|Get|Set)[A-Z]\w+")

TABLES = [
    *(test_refusals.SHAPES, test_refusals.DTYPES, test_refusals.MASKS),
    *(test_refusals_lengths.PACKED, test_refusals_lengths.LENGTHS, test_refusals_lengths.PAGED),
    test_refusals_by_name.LIMITS,
]


def documented() -> dict[str, tuple[str, bool]]:
    """Function -> (file, whether covered)."""
    rows, file = {}, None
    for line in (ROOT / "docs" / "operator.md").read_text().splitlines():
        if line.startswith("#"):
            name = re.search(r"`(\w+\.cpp)`", line)
            file = name and name[1]
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if file and len(cells) == 4 and cells[1].startswith("`"):
            function = cells[1].strip("`")
            assert function not in rows, f"{function} stands twice"
            assert cells[3].startswith(("yes", "no: ")), line
            rows[function] = (file, cells[3].startswith("yes"))
    return rows


def named_in_code(*left_out: str) -> set[str]:
    """Every string in the package that is the name of a function of the host code."""
    return {
        node.value
        for path in PACKAGE.glob("*.py")
        if path.name not in left_out
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and FUNCTION.fullmatch(node.value)
    }


def test_the_table_lists_what_the_code_checks():
    assert {function for function, (_, covered) in documented().items() if covered} == named_in_code()


@provided
def test_the_tests_raise_every_check_and_each_names_its_file():
    rows, raised = documented(), set()
    for table in TABLES:
        for name, ((query, arguments), _) in table.items():
            message = refusal(query, **arguments)
            where = re.search(r"\[FUNC:(\w+)\]\[FILE:(\w+\.cpp)\]", message)
            if where is None:
                assert message.startswith("fiabench:"), name
                continue
            assert rows[where[1]] == (where[2], True), name
            callers = re.findall(r"\[(\w+)\] ", message)
            raised |= {where[1], *(caller for caller in callers if FUNCTION.fullmatch(caller))}
    # out.py has tests of its own
    assert raised == named_in_code("out.py")
