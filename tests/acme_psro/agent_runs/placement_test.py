"""Tests of which accelerators a learner sees, and how much of their memory it takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from acme_psro.agent_runs import placement

CHOICES = (
    "CUDA_VISIBLE_DEVICES",
    "XLA_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
)


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHOICES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("devices", "numbers"), [("", ()), ("0", (0,)), ("1,0,12", (1, 0, 12))])
def test_lists_are_read(devices: str, numbers: tuple[int, ...]) -> None:
    assert placement.parse(devices) == numbers


@pytest.mark.parametrize("devices", ["a", "0,", ",0", "0;1", "-1", "0, 1", "1.5", "²"])
def test_what_is_no_list_is_refused(devices: str) -> None:
    with pytest.raises(ValueError, match=r"^--learner_devices must be numbers .* such as 0,1, not "):
        placement.parse(devices)


def test_a_device_is_named_once() -> None:
    with pytest.raises(ValueError, match="names a device twice: '0,1,0'"):
        placement.parse("0,1,0")


def test_one_learner_that_sees_all_is_left_as_it_is() -> None:
    assert placement.environment("") == {}


def test_a_learner_sees_the_devices_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert placement.environment("1,0") == {"CUDA_VISIBLE_DEVICES": "1,0"}
    # JAX numbers those that are visible here.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-5fa3")
    assert placement.environment("1,0") == {"CUDA_VISIBLE_DEVICES": "GPU-5fa3,4"}


@pytest.mark.parametrize(("sharing", "fraction"), [(2, 0.375), (3, 0.25)])
def test_learners_that_share_a_device_split_its_memory(sharing: int, fraction: float) -> None:
    variables = placement.environment("0", sharing)
    assert float(variables.pop("XLA_PYTHON_CLIENT_MEM_FRACTION")) == fraction
    assert variables == {"CUDA_VISIBLE_DEVICES": "0"}


@pytest.mark.parametrize("name", CHOICES[1:])
def test_what_users_say_about_memory_stands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "0.5")
    assert placement.environment("", 2) == {}


@pytest.mark.parametrize(
    ("devices", "programs", "expected"),
    [
        ("", 3, ["", "", ""]),
        ("0,1", 2, ["0", "1"]),
        ("0,1", 3, ["0", "1", "0"]),
        ("3", 2, ["3", "3"]),
        ("0,1", 0, []),
    ],
)
def test_programs_have_one_device_each_in_turn(devices: str, programs: int, expected: list[str]) -> None:
    assert placement.assign(devices, programs) == expected


@pytest.mark.parametrize(
    ("devices", "at_once", "expected"),
    [
        (["0", "1"], 2, [1, 1]),
        (["0", "1", "0"], 3, [2, 1, 2]),
        (["", "", ""], 2, [2, 2, 2]),
        (["", "", ""], 1, [1, 1, 1]),
    ],
)
def test_sharing_is_counted_among_those_that_run_at_once(
    devices: list[str], at_once: int, expected: list[int]
) -> None:
    assert placement.count_sharing(devices, at_once) == expected


@pytest.mark.parametrize(
    ("devices", "shown", "message"),
    [
        ("0", 0, "--learner_devices=0 asks for CUDA devices, but JAX shows none here: leave it out."),
        (
            "0,2",
            2,
            "--learner_devices=0,2 asks for device 2, but JAX shows 2 CUDA devices here, numbered from 0.",
        ),
        (
            "1",
            1,
            "--learner_devices=1 asks for device 1, but JAX shows 1 CUDA device here, numbered from 0.",
        ),
    ],
)
def test_devices_that_are_not_there_are_refused(
    devices: str, shown: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "_count_devices", lambda: shown)
    with pytest.raises(ValueError) as caught:
        placement.check(devices)
    assert str(caught.value) == message


def test_devices_that_are_there_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_count_devices", lambda: 2)
    placement.check("1,0")
    # Nobody is asked where nothing is asked for.
    monkeypatch.setattr(placement, "_count_devices", lambda: pytest.fail("asked"))
    placement.check("")


def test_jax_is_asked_for_devices_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    with pytest.raises(ValueError, match="JAX shows none here"):
        placement.check("0")


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["cpu"], "cpu"),
        (["cpu"] * 4, "4 x cpu"),
        (["NVIDIA H100", "NVIDIA L4", "NVIDIA H100"], "2 x NVIDIA H100, NVIDIA L4"),
    ],
)
def test_devices_have_names(kinds: list[str], expected: str) -> None:
    assert placement.name_devices(kinds) == expected


@pytest.mark.parametrize(
    ("devices", "plugins", "platforms", "listed", "expected"),
    [
        ("0", True, "", "", "CUDA device 0"),
        ("1,3", True, "", "", "CUDA devices 1,3"),
        ("", False, "", "never asked", "cpu"),
        ("", True, "cpu", "never asked", "cpu"),
        ("", True, "", "NVIDIA H100;NVIDIA H100", "2 x NVIDIA H100"),
        ("", True, "", "", "the devices that JAX finds"),
    ],
)
def test_the_devices_of_another_process_are_foreseen(
    devices: str,
    plugins: bool,
    platforms: str,
    listed: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placement.importlib.util, "find_spec", lambda name: object() if plugins else None)
    monkeypatch.setattr(placement, "_ask_jax", lambda code: listed)
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    assert placement.foresee_devices(devices) == expected


def test_jax_lists_the_devices_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=3")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert placement._ask_jax(placement._LIST) == "cpu;cpu;cpu"


def test_the_module_is_light_to_import() -> None:
    script = "import sys; from acme_psro.agent_runs import placement; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize(("cores", "programs", "most"), [(2, 1, 16), (2, 3, 5), (1, 20, 1)])
def test_actors_beyond_what_cores_can_use_are_refused(
    cores: int, programs: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acme_psro.system.cores.count", lambda: cores)
    placement.check_actors("num_actors", most, programs)
    with pytest.raises(ValueError, match=rf"^--num_actors={most + 1} asks for .* give at most {most}, and"):
        placement.check_actors("num_actors", most + 1, programs)
