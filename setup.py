"""Installs acme_psro and agents: `pip install -e ".[test]" -c constraints.txt`."""

from setuptools import find_packages, setup

# The device path: everything that compiled games and jitted training loops need.
DEVICE_PATH = [
    "absl-py>=2.0",
    "chex>=0.1.90",
    "dm-haiku>=0.0.14",
    "flashbax>=0.1.3",
    "jax>=0.6.2",
    "matplotlib>=3.8",
    "numpy>=1.26",
    "open_spiel>=1.6",
    "optax>=0.2.5",
    "rich>=13.0",
    "scipy>=1.11",
    "tensorboard>=2.8",
]

# The Acme layer: Launchpad has wheels for Linux on x86-64 up to Python 3.10 only. Reverb, Launchpad
# and TensorFlow share C++ symbols, which pip cannot check, hence their exact versions. TensorBoard
# 2.8, which comes along, needs the pkg_resources module that newer setuptools no longer have.
# Gymnasium is for its MuJoCo tasks, v5 of which came with release 1.0; they import imageio, which the extra
# brings along.
ACME_LAYER = [
    "distrax>=0.1.5",
    "dm-acme==0.4.0",
    "dm-env>=1.6",
    "dm-launchpad==0.5.0",
    "dm-reverb==0.7.0",
    "dm-sonnet>=2.0.2",
    "dm-tree>=0.1.8",
    "dm_control>=1.0.20",
    "gym==0.25.2",
    "gymnasium[mujoco]>=1.0",
    "numpy<2",
    "orbax-checkpoint>=0.11",
    "protobuf<3.20",
    "psutil>=5.9",
    "rlax>=0.1.7",
    "setuptools<81",
    "tensorflow-cpu==2.8.4",
    "tensorflow-probability>=0.25,<0.26",
]
ACME_MARKER = 'python_version < "3.11" and sys_platform == "linux" and platform_machine == "x86_64"'

# What OpenSpiel's psro_v2, against which the benchmarks measure, needs and does not bring along: its
# linear programs are cvxopt's in the last OpenSpiel for Python 3.10, cvxpy's and ECOS's in later ones,
# and its DQN went from Haiku to Flax.
BENCHMARKS = [
    'cvxopt>=1.3; python_version < "3.11"',
    'cvxpy>=1.7; python_version >= "3.11"',
    'ecos>=2.0.14; python_version >= "3.11"',
    'flax>=0.10; python_version >= "3.11"',
    "networkx>=3.0",
    'orbax-checkpoint>=0.11; python_version >= "3.11"',
    "rlax>=0.1.7",
]

setup(
    name="acme-psro",
    version="0.1.0",
    description="Population learning in games (PSRO, JPSRO, NeuPL) for DeepMind Acme.",
    license="Apache-2.0",
    packages=find_packages(include=["acme_psro", "acme_psro.*", "agents", "agents.*"]),
    package_data={"acme_psro.agent_runs.vertex_ai": ["vertex_ai.txt"]},
    # Named so that an editable install is a plain path entry and sees new packages at once.
    package_dir={"": "."},
    python_requires=">=3.10,<3.14",
    install_requires=DEVICE_PATH + [f"{package}; {ACME_MARKER}" for package in ACME_LAYER],
    extras_require={
        "benchmarks": BENCHMARKS,
        "cuda": ["jax[cuda12]>=0.6.2"],
        # pytest-xdist: tests in two processes.
        "test": ["mypy>=1.13", "pytest>=8.0", "pytest-xdist>=3.6", "ruff>=0.9"],
    },
)
