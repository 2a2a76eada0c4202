"""The README's examples run, one after the other, as a reader would try them."""

import re
import warnings
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the blocks define, run in order in an empty folder."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("default")
        patch.chdir(tmp_path_factory.mktemp("readme"))
        namespace: dict = {}
        for block in BLOCKS:
            if "by_adam" not in block:
                exec(compile(block, str(README), "exec"), namespace)
        yield namespace


@pytest.fixture(scope="module")
def recipe(names):
    """The same with the course's recipe, which trains for half a minute."""
    (block,) = (block for block in BLOCKS if "by_adam" in block)
    exec(compile(block, str(README), "exec"), names)
    return names


def test_the_first_example_is_solved_and_drawn(names):
    errors = names["solution"].error_estimate
    assert errors["y"] < 1e-12
    assert Path("exam.png").stat().st_size > 10_000


def test_the_recommended_plan_is_printed_with_reasons(names, capsys):
    print(names["pinn"].recommend(names["rod"]))
    assert "the solution is singular where it meets another condition" in capsys.readouterr().out  # 1 + x/2 at the walls


def test_the_system_is_built_on_its_domain_with_a_hole(names):
    reactor = names["reactor"]
    assert reactor.fields == ("T", "c")
    assert not reactor.is_linear
    assert len(reactor.terms) == 5


@pytest.mark.slow
def test_the_course_recipe_reaches_1e_4(recipe):
    by_adam, solution = recipe["by_adam"], recipe["solution"]
    xs = recipe["jnp"].linspace(0, 5, 501)
    gap = abs(by_adam(x=xs) - solution(x=xs)).max()
    assert gap < 1e-4
    assert by_adam.error_estimate["y"] < 1e-4


def test_commands_of_the_readme_exist():
    text = README.read_text()
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", text, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for script in re.findall(r"scripts/\w+\.py", text):
        assert (README.parent / script).exists(), script
