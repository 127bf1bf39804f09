"""Modules of outside projects from paths: alone, one path after the other, and refused in words."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from fiabench.projects import any_callable
from fiabench.projects.errors import ProjectError
from fiabench.projects.loading import attribute, load_callable, load_module, make_current
from fiabench.projects.origin import provenance
from tests.ulysses.points import make_case


def project(folder, **files):
    """A project in ``folder``: what stands in each of its modules."""
    for name, text in files.items():
        file = folder.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


LAYER = """
from plant.helper import VALUE

def late():
    from plant.late import VALUE
    return VALUE
"""


@pytest.fixture
def two(tmp_path):
    """Two checkouts of one project, whose packages must not run, told apart by VALUE."""
    paths = []
    for value in (1, 2):
        modules = {
            "plant.__init__": "raise RuntimeError('the rest of the project was imported')",
            "plant.helper": f"VALUE = {value}",
            "plant.late": f"VALUE = {value}",
            "plant.layer": LAYER,
        }
        folder = project(tmp_path / str(value), **modules)
        paths.append(folder)
    return paths


@pytest.fixture(autouse=True)
def nothing_is_left_on_the_path():
    before = list(sys.path), list(sys.meta_path), sys.dont_write_bytecode
    yield
    assert (sys.path, sys.meta_path, sys.dont_write_bytecode) == before


def test_a_module_comes_without_its_packages_and_leaves_the_folder_as_it_was(two):
    before = sorted(two[0].rglob("*"))
    layer = load_module(two[0], "plant.layer", ("plant",))
    assert layer.VALUE == 1
    assert load_module(two[0], "plant.layer", ("plant",)) is layer
    assert sorted(two[0].rglob("*")) == before


def test_without_stubs_its_packages_run(two):
    with pytest.raises(ProjectError, match="the rest of the project was imported"):
        load_module(two[0], "plant.layer")


def test_two_paths_one_after_the_other_and_back(two):
    one, other = (load_module(path, "plant.layer", ("plant",)) for path in two)
    assert (one.VALUE, other.VALUE) == (1, 2)
    assert other.late() == 2
    make_current(one)
    assert one.late() == 1
    make_current(other)
    assert other.late() == 2
    assert load_module(two[0], "plant.layer", ("plant",)).VALUE == 1


def test_a_file_that_changed_is_read_again(two):
    load_module(two[0], "plant.layer", ("plant",))
    (two[0] / "plant" / "helper.py").write_text("VALUE = 1234")
    assert load_module(two[0], "plant.layer", ("plant",)).VALUE == 1234


def test_helpers_beside_a_module_are_its_own(tmp_path):
    """Both projects have a module `shared` beside them, and neither may get the other's."""
    paths = [
        project(tmp_path / name, **{f"only_{name}": "from shared import NAME", "shared": f"NAME = {name!r}"})
        for name in ("a", "b")
    ]
    assert load_module(paths[0], "only_a").NAME == "a"
    assert load_module(paths[1], "only_b").NAME == "b"


@pytest.mark.parametrize("folder", ["python", "src"])
def test_the_root_of_a_checkout_will_do(tmp_path, folder):
    project(tmp_path / folder, rooted="HERE = True")
    assert load_module(tmp_path, "rooted").HERE


USES = """
import absent_one.part

class Made(absent_one.part.Base): ...

def f(x: absent_one.Kind):
    return absent_one.go()
"""


def test_a_package_that_is_not_used_may_be_missing(tmp_path):
    module = load_module(project(tmp_path, uses=USES), "uses", optional=("absent_one", "json"))
    assert "absent_one" not in sys.modules
    with pytest.raises(ProjectError, match=r"absent_one.go was called and absent_one is not installed"):
        module.f(1)
    import json

    assert json.loads("1") == 1


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere:f", "no nowhere at .*; looked for .*nowhere, .*python/nowhere"),
        ("there.nothing:f", "no module there.nothing at"),
        ("there:missing", "has no missing: another release may"),
        ("there:CONSTANT", "has no callable CONSTANT"),
        ("there", "write it as package.module:name"),
        ("broken:f", "broken at .* could not be imported: ZeroDivisionError"),
        ("needs_zmq:f", "No module named 'zmq_that_is_not_there'; install it .* pip install zmq_that_is_not_there"),
        ("needs_own:f", "could not be imported: ModuleNotFoundError: No module named 'there.gone'"),
    ],
)
def test_refusals_say_what_was_looked_for(tmp_path, target, words):
    project(
        tmp_path,
        there="CONSTANT = 1",
        broken="1 / 0",
        needs_zmq="import zmq_that_is_not_there",
        needs_own="import there.gone",
    )
    with pytest.raises(ProjectError, match=words):
        load_callable(tmp_path, target)


def test_a_path_that_is_not_there_or_is_a_file(tmp_path):
    with pytest.raises(ProjectError, match="is not there"):
        load_module(tmp_path / "gone", "anything")
    (tmp_path / "a.whl").touch()
    with pytest.raises(ProjectError, match="is not a folder: unpack it"):
        load_module(tmp_path / "a.whl", "anything")


def test_a_module_that_is_installed_elsewhere_is_not_taken_for_the_projects(tmp_path):
    with pytest.raises(ProjectError, match=r"json was found at .*, not in"):
        load_module(project(tmp_path, json="MINE = True"), "json")


def test_a_dotted_name_goes_into_classes(tmp_path):
    module = load_module(project(tmp_path, dotted="class A:\n    @staticmethod\n    def f(): return 7"), "dotted")
    assert attribute(module, "A.f")() == 7


def test_provenance_knows_commit_and_changes(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        ran = subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True, text=True)
        return ran.stdout.strip()

    module = load_module(project(tmp_path, tracked="__version__ = '1.5'"), "tracked")
    git("init", "--quiet")
    assert provenance(module, tmp_path)["commit"] is None, "nothing tracks the file yet"
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    assert provenance(module, tmp_path) == {
        "path": str(tmp_path),
        "file": str(tmp_path / "tracked.py"),
        "commit": git("rev-parse", "HEAD"),
        "dirty": False,
        "version": "1.5",
    }
    project(tmp_path, tracked="__version__ = '1.6'")
    assert provenance(module, tmp_path)["dirty"] is True


SDPA = """
import torch.nn.functional as F

def bnsd(query, key, value, causal=False):
    return F.scaled_dot_product_attention(query, key, value, is_causal=causal)

def several(query, key, value):
    return query, None
"""


@pytest.mark.parametrize("mask", ["none", "causal"])
def test_any_callable_is_called_as_declared(tmp_path, mask):
    case = make_case(measure="kernel", mask=mask, ulysses=1)
    tensors = [torch.randn(1, 8, 24, 16) for _ in range(3)]
    path = project(tmp_path, outside_sdpa=SDPA)
    launch = any_callable.prepare(case, *tensors, path, "outside_sdpa:bnsd")
    wanted = torch.nn.functional.scaled_dot_product_attention(*tensors, is_causal=mask == "causal")
    assert torch.equal(launch(), wanted)
    assert any_callable.provenance(path, "outside_sdpa:bnsd")["file"].endswith("outside_sdpa.py")
    assert any_callable.unsupported(case, "cpu") is None


def test_any_callable_must_give_one_tensor(tmp_path):
    case = make_case(measure="kernel", ulysses=1)
    tensors = [torch.randn(1, 8, 24, 16) for _ in range(3)]
    launch = any_callable.prepare(case, *tensors, project(tmp_path, outside_sdpa=SDPA), "outside_sdpa:several")
    with pytest.raises(ProjectError, match="gave tuple: the attention output is wanted"):
        launch()


def test_any_callable_says_what_it_cannot_pass_on():
    assert "mask causal_top_left" in any_callable.unsupported(make_case(mask="causal_top_left"), "cpu")
    paged = make_case(measure="kernel", ulysses=1)._replace(kv_cache="paged_BNBD_128")
    assert "whole keys and values" in any_callable.unsupported(paged, "cpu")
    assert "log-sum-exp" in any_callable.unsupported(make_case()._replace(ring=2), "cpu")
