"""Tests of the wheel: it is built, installed in a fresh environment and used from another directory.

The environment sees the packages that are installed for the tests, but not this project's source.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import pytest

import acme_psro

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = ("acme_psro", "agents")
FILES = ("pyproject.toml", "README.md", "LICENSE")
FOREIGN = "raise SystemExit('a folder of the user was imported instead of the package')"
LOAD = """
import sys, acme_psro
from open_spiel.python.algorithms import exploitability
policy = acme_psro.load_policy(sys.argv[1])
print(exploitability.exploitability(policy.game, policy))
"""


class Ended(NamedTuple):
    """Exit code and output of a process."""

    code: int
    out: str
    err: str


class Installed(NamedTuple):
    """The installed wheel and a directory of a user, in which commands run."""

    wheel: pathlib.Path
    environment: pathlib.Path
    directory: pathlib.Path

    def __call__(self, program: str, *arguments: str, seconds: float = 120.0) -> Ended:
        """Runs a program of the environment in the user's directory, for so many seconds at most."""
        unset = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [str(self.environment / "bin" / program), *arguments]
        done = subprocess.run(
            command, cwd=self.directory, env=unset, capture_output=True, text=True, timeout=seconds
        )
        return Ended(done.returncode, done.stdout, done.stderr)


def _pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    root = tmp_path_factory.mktemp("package")
    source, environment, directory = (root / name for name in ("source", "environment", "user"))
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, source)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", root, source)
    (wheel,) = root.glob("*.whl")
    venv.create(environment, with_pip=False)
    _pip("--python", environment / "bin" / "python", "install", "--no-deps", "--no-compile", wheel)
    # Dependencies come from the tests' own environment. Its path files, and so this project's source, do not.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    for name in ("agents", "experiments"):
        (directory / name).mkdir(parents=True)
        (directory / name / "__init__.py").write_text(FOREIGN)
    return Installed(wheel, environment, directory)


def test_wheel_holds_all_that_users_import_and_nothing_else(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
    library = {str(path.relative_to(ROOT)) for package in SOURCES for path in (ROOT / package).rglob("*.py")}
    assert library <= names
    assert {"acme_psro/py.typed", "agents/py.typed"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(SOURCES)


def test_metadata_describes_what_is_there(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        head, _, readme = archive.read(name).decode().partition("\n\n")
    fields = [line.partition(": ")[::2] for line in head.splitlines()]
    assert readme.strip() == (ROOT / "README.md").read_text().strip()
    assert ("Description-Content-Type", "text/markdown") in fields
    assert {value for field, value in fields if field == "Provides-Extra"} == {
        "acme",
        "benchmarks",
        "cluster",
        "cuda",
        "docs",
        "test",
    }
    needed = {
        value.split(">")[0] for field, value in fields if field == "Requires-Dist" and "extra ==" not in value
    }
    assert {"jax", "open_spiel"} <= needed
    assert not {name for name in needed if name.startswith(("dm-acme", "dm-reverb", "tensorflow"))}
    (version,) = (value for field, value in fields if field == "Version")
    assert installed("acme-psro", "--version").out == f"acme-psro {version}\n"


def test_version_costs_nothing_until_it_is_read() -> None:
    program = "import sys, acme_psro; assert 'importlib.metadata' not in sys.modules; acme_psro.__version__"
    subprocess.run([sys.executable, "-S", "-c", program], cwd=ROOT, check=True)
    with pytest.raises(AttributeError, match="has no attribute 'versions'"):
        acme_psro.versions  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_commands_are_listed(installed: Installed, arguments: tuple[str, ...]) -> None:
    for start in (("acme-psro",), ("python", "-m", "acme_psro")):
        code, out, err = installed(*start, *arguments)
        assert (code, err) == (0, "")
        assert out.startswith("usage: acme-psro COMMAND")
        words = [line.split()[0] for line in out.splitlines()[1:-1]]
        assert words == ["run", "neupl", "self-play", "sweep", "agent", "evaluate", "play"]


@pytest.mark.parametrize("word", ["nonsense", "Run", "--iterations=3", ""])
def test_other_words_are_refused(installed: Installed, word: str) -> None:
    code, out, err = installed("acme-psro", word)
    assert (code, out) == (2, "")
    first, *rest = err.splitlines()
    assert first == f"error: there is no command {word!r}."
    assert "\n".join(rest) + "\n" == installed("acme-psro").out


def test_lists_of_commands_import_no_launcher(installed: Installed) -> None:
    # A file, as the command itself is: the user's directory is not on its path.
    script = installed.directory.parent / "script.py"
    script.write_text(
        "import sys\nfrom acme_psro.__main__ import main\nmain()\n"
        "print(sorted({'absl', 'acme_psro.commands', 'jax', 'numpy'} & set(sys.modules)))\n"
    )
    assert installed("python", str(script)).out.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("word", "flag"), [("run", "meta_solver"), ("agent", "environment"), ("evaluate", "run_dir")]
)
def test_flags_of_a_command_are_its_launcher_s(installed: Installed, word: str, flag: str) -> None:
    help_text = installed("acme-psro", word, "--help").out
    assert f"--{flag}:" in help_text
    code, out, err = installed("acme-psro", word, "--no_such_flag=1")
    assert (code, out) == (2, "")
    assert err.startswith("error: Unknown command line flag 'no_such_flag'") and err.count("\n") == 1


def _evaluates(installed: Installed, run: str) -> float:
    """Evaluates a run by the command, by the module and as a policy; returns its exploitability."""
    command, module = (installed(*start, "evaluate", f"--run_dir={run}") for start in STARTS)
    assert command.code == 0, command.err
    assert module.out == command.out
    script = installed.directory.parent / "load.py"
    script.write_text(LOAD)
    loaded = installed("python", str(script), run)
    assert loaded.code == 0, loaded.err
    return float(loaded.out.splitlines()[-1])


STARTS: tuple[tuple[str, ...], ...] = (("acme-psro",), ("python", "-m", "acme_psro"))


def test_exact_run_trains_evaluates_and_loads(installed: Installed) -> None:
    flags = ("--game=kuhn_poker", "--oracle=exact", "--iterations=3", "--output_dir=exact")
    code, out, err = installed("acme-psro", "run", *flags)
    assert code == 0, err
    assert "report: exact/report.html" in out
    figures = json.loads(installed("acme-psro", "evaluate", "--run_dir=exact").out)
    assert figures["iterations"] == 3
    assert _evaluates(installed, "exact") == pytest.approx(figures["exploitability"], abs=1e-6)
    code, _, err = installed("python", "-m", "acme_psro", "run", *flags, "--resume")
    assert code == 0, err


@pytest.mark.slow  # Four Launchpad programs take three to five minutes, most of it to start and to compile.
@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the Acme layer ends at Python 3.10")
def test_sampled_run_trains_evaluates_and_loads(installed: Installed) -> None:
    budget = ("--actor_steps_per_response=2500", "--actors_per_response=1", "--payoff_episodes=50")
    flags = ("--game=kuhn_poker", "--oracle=launchpad", "--payoffs=sampled", "--iterations=1", *budget)
    code, _, err = installed(
        "acme-psro", "run", *flags, "--gain_episodes=200", "--output_dir=sampled", seconds=1200.0
    )
    assert code == 0, err
    assert json.loads(installed("acme-psro", "evaluate", "--run_dir=sampled").out)["lower_bound"] is True
    assert 0.0 <= _evaluates(installed, "sampled") < 1.0


def test_foreign_agents_are_refused_in_one_line(installed: Installed) -> None:
    ended = installed("python", "-c", "import acme_psro")
    assert ended.code == 1
    line = ended.err.splitlines()[-1]
    assert line.startswith(f"ImportError: {installed.directory / 'agents'} hides the package agents")
    assert line.endswith("or use the command acme-psro")


@pytest.fixture
def use() -> Callable[[str], str]:
    """A function that adds a program to lines which import this project's packages."""
    return "import acme_psro\nfrom agents.crossq import CrossQConfig\n{}\n".format


@pytest.mark.long
@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("version: str = acme_psro.__version__", ""),
        ("version: int = acme_psro.__version__", 'expression has type "str", variable has type "int"'),
        ("acme_psro.load_policy(3)", 'Argument 1 to "load_policy" has incompatible type "int"'),
        ("acme_psro.nothing", 'Module has no attribute "nothing"'),
        (
            'CrossQConfig(discount="much")',
            'Argument "discount" to "CrossQConfig" has incompatible type "str"',
        ),
    ],
)
def test_type_checkers_see_our_types(
    installed: Installed, use: Callable[[str], str], line: str, error: str
) -> None:
    program = installed.directory.parent / "use.py"
    program.write_text(use(line))
    # The types of other packages matter to their own users.
    command = ["mypy", "--strict", "--follow-imports=silent", "--ignore-missing-imports"]
    python = installed.environment / "bin" / "python"
    done = subprocess.run(
        [sys.executable, "-m", *command, f"--python-executable={python}", program.name],
        cwd=program.parent,
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == (not error), done.stdout
    assert error in done.stdout
