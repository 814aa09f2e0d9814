"""Tests of the pages: what they show runs, exists and agrees with the code."""

import ast
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from experiments.benchmarks import published_pages

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLES = {path.stem: path for path in sorted((DOCS / "examples").glob("*.py"))}
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
CODE = re.compile(r"<!-- code: (\w+) (\w+) -->.*?<!-- end of code -->", re.DOTALL)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Modules that no page of the reference has: they serve the library itself, not its users.
INTERNAL = (
    "acme_psro.__main__",
    "acme_psro.agent_runs",
    "acme_psro.commands",
    "acme_psro.display",
    "acme_psro.play",
    "acme_psro.population_runs",
    "acme_psro.sweeps",
    "acme_psro.system",
)
# Code on a page that is not one of the examples, by its first line, with the reason.
NOT_RUN = {
    "from acme.jax import experiments": "it needs Acme's main branch",
}
# Lines of output that pages show.
SHOWN = {
    "callbacks": (
        "guides/callbacks.md",
        [
            "iteration 1: player 0 gains 0.3750",
            "stopped: exploitability 0.0833",
            "resumed: exploitability 0.0000",
        ],
    ),
    "exact_psro": ("tutorial/kuhn.md", ["uniform players: exploitability 0.4583", "exploitability 0.0321"]),
    "own_game": ("tutorial/own_game.md", ["numbers 1 to 5: [0.0625 0.3125 0.25 0.3125 0.0625]"]),
    "own_solver": (
        "tutorial/own_solver.md",
        ["exploitability 0.2500 after 10", "exploitability 0.0000 after"],
    ),
}


def one_line(text: str) -> str:
    """Returns a text with single spaces between its words."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory with the run of Kuhn poker that the pages load."""
    directory = tmp_path_factory.mktemp("docs")
    flags = ("--game=kuhn_poker", "--oracle=exact", "--output_dir=runs/kuhn")
    run_python(directory, "-m", "acme_psro", "run", *flags)
    return directory


def run_python(directory: pathlib.Path, *arguments: str) -> str:
    """Runs Python in a directory, as a user would; returns what it prints."""
    # XLA's optimisations take longer than they save in programs as short as these.
    changes = {"PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=directory, env=os.environ | changes, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def code_in_readme(beginning: str) -> str:
    """Returns the README's Python block that begins with the given text."""
    blocks = [
        code for language, code in BLOCK.findall((ROOT / "README.md").read_text()) if language == "python"
    ]
    (block,) = (code for code in blocks if code.startswith(beginning))
    return block


@pytest.mark.parametrize("name", [name for name in EXAMPLES if not name.startswith("acme_")])
def test_example_runs_and_prints_what_its_page_shows(name: str, workplace: pathlib.Path) -> None:
    arguments = ["runs/kuhn"] if name == "load_policy" else []
    printed = run_python(workplace, str(EXAMPLES[name]), *arguments)
    page, lines = SHOWN.get(name, ("", []))
    for line in lines:
        assert line in one_line(printed)
        assert line in one_line((DOCS / page).read_text())


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
def test_acme_examples_run(workplace: pathlib.Path) -> None:
    # In one process, as importing Acme takes longer than most of them.
    scripts = [str(path) for name, path in EXAMPLES.items() if name.startswith("acme_")]
    (workplace / "readme.py").write_text(code_in_readme("from agents"))
    program = "import runpy, sys\nfor script in sys.argv[1:]: runpy.run_path(script, run_name='__main__')"
    printed = run_python(workplace, "-c", program, "readme.py", *scripts)
    for shown in ("'episode_return'", "context of the last episode: [", "'replay': 1", "'actor': 2"):
        assert shown in printed


def test_readme_loads_a_policy(workplace: pathlib.Path) -> None:
    printed = run_python(workplace, "-c", code_in_readme("import acme_psro"))
    *_, exploitability, run = printed.splitlines()
    nash_conv, shape = run.split(" ", 1)
    assert float(exploitability) < 1e-6 and float(nash_conv) < 1e-6
    assert shape.startswith("(2, ")


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def parts_of(path: pathlib.Path) -> set[str]:
    """Returns the names of the parts of an example, whose marks must come in pairs."""
    text = path.read_text()
    starts, ends = (re.findall(rf"^# \[{kind}:(\w+)\]$", text, re.MULTILINE) for kind in ("start", "end"))
    assert starts == ends
    # Without its imports the code on a page would not run where a reader puts it.
    assert starts[0] == "imports"
    return set(starts)


def test_pages_show_all_parts_of_all_examples() -> None:
    shown: dict[str, set[str]] = {name: set() for name in EXAMPLES}
    for page in PAGES:
        for name, part in CODE.findall(page.read_text()):
            shown[name].add(part)
    assert shown == {name: parts_of(path) for name, path in EXAMPLES.items()}


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: str(page.relative_to(ROOT)))
def test_code_on_pages_comes_from_examples(page: pathlib.Path) -> None:
    for language, code in BLOCK.findall(CODE.sub("", page.read_text())):
        if language == "python":
            assert code.splitlines()[0] in NOT_RUN
            ast.parse(code)


COMMANDS = {
    "run": "run_psro",
    "neupl": "run_neupl",
    "self-play": "run_self_play",
    "sweep": "run_sweep",
    "agent": "run_agent",
    "evaluate": "evaluate",
    "play": "play",
}


# Modules that define further flags of a launcher.
FLAG_FILES = {
    "run_psro": ("psro_flags", "neupl_flags", "placing_flags", "config_flag", "settings_flag"),
    "run_neupl": ("psro_flags", "neupl_flags", "placing_flags", "config_flag", "settings_flag"),
    "run_self_play": ("placing_flags", "config_flag", "settings_flag"),
    "run_sweep": ("placing_flags",),
    "run_agent": ("placing_flags", "config_flag", "settings_flag"),
    "evaluate": ("config_flag",),
    "play": ("config_flag",),
}


def flags_of(launcher: str) -> set[str]:
    """Returns the names of a launcher's flags, from its source."""
    files = (launcher, *FLAG_FILES[launcher])
    sources = [(ROOT / "acme_psro" / "commands" / f"{name}.py").read_text() for name in files]
    names = set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', "".join(sources)))
    return names | {f"no{name}" for name in names}


def commands_on(page: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
    """Yields the launcher and the flags of every command on a page."""
    text = page.read_text().replace("\\\n", " ")
    for word, name, rest in re.findall(
        r"(?:acme-psro (run|neupl|self-play|sweep|agent|evaluate|play)"
        r"|-m experiments\.(run_psro|run_neupl|run_self_play|run_sweep|run_agent|evaluate|play))"
        r"\b([^\n`]*)",
        text,
    ):
        yield COMMANDS.get(word, name), re.findall(r"--(\w+)", rest.split("#")[0])


def test_commands_on_pages_have_known_flags() -> None:
    found = [(page, *command) for page in PAGES for command in commands_on(page)]
    assert len(found) > 20
    for page, launcher, names in found:
        unknown = set(names) - flags_of(launcher) - {"help"}
        assert not unknown, f"{page}: {launcher} has no flag {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: pathlib.Path) -> None:
    # A page that only shows another file has that file's links, which are tested where they stand.
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", published_pages.PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_show_the_published_figures_and_code(page: pathlib.Path) -> None:
    command = "python -m experiments.benchmarks.published_pages"
    assert page.read_text() == published_pages.fill_page(page), f"run {command}"


def test_every_result_is_on_the_page_of_results() -> None:
    names = {path.stem for path in published_pages.RESULTS.glob("*.json")} - {"in_short"}
    shown = re.findall(r"<!-- table: (\w+) -->", (published_pages.RESULTS / "index.md").read_text())
    assert sorted(shown) == sorted(names)


def modules_on_pages() -> list[str]:
    """Returns the modules, or packages with all their modules, that the reference documents."""
    pages = (DOCS / "api").glob("*.md")
    return [name for page in pages for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE)]


def public_modules() -> dict[str, pathlib.Path]:
    """Returns the library's modules by name."""
    paths = [path for package in ("acme_psro", "agents") for path in (ROOT / package).rglob("*.py")]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


def is_in(module: str, places: tuple[str, ...] | list[str]) -> bool:
    """Returns True if a module is one of the places, or lies in one of them."""
    # The root packages have pages of their own, which do not hold what lies in them.
    return any(
        module == place or (place not in ("acme_psro", "agents") and module.startswith(f"{place}."))
        for place in places
    )


def test_every_public_module_is_on_a_page_of_the_reference() -> None:
    documented = modules_on_pages()
    modules = public_modules()
    assert [name for name in documented if name not in modules] == []
    missing = [name for name in modules if not is_in(name, documented) and not is_in(name, INTERNAL)]
    assert missing in ([], ["agents"])


def undocumented(source: str) -> list[str]:
    """Returns the public classes and functions of a module that have no docstring."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = [node for node in ast.parse(source).body if isinstance(node, kinds)]
    return [node.name for node in found if not node.name.startswith("_") and not ast.get_docstring(node)]


def test_public_names_have_docstrings() -> None:
    documented = modules_on_pages()
    modules = {name: path for name, path in public_modules().items() if is_in(name, documented)}
    assert len(modules) > 60
    lacking = {name: undocumented(path.read_text()) for name, path in modules.items()}
    assert {name: names for name, names in lacking.items() if names} == {}


def test_missing_docstrings_are_found() -> None:
    source = 'def a(): pass\nclass B: pass\ndef _c(): pass\ndef d():\n  """Returns."""\nasync def e(): pass\n'
    assert undocumented(source) == ["a", "B", "e"]


def test_versions_agree() -> None:
    (ruff,) = set(re.findall(r"^ruff==([\d.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    for file in (".pre-commit-config.yaml", "docs/requirements.txt"):
        assert set(re.findall(r"ruff==([\d.]+)", (ROOT / file).read_text())) == {ruff}
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text()
