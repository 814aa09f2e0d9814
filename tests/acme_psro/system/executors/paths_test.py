"""Tests of paths in commands that run on another machine."""

from __future__ import annotations

import json
from pathlib import Path

from acme_psro.system.executors import paths


def test_paths_are_replaced_where_they_stand_whole() -> None:
    pairs = [("/runs/a", "/there/x"), ("/runs/a/job", "/there/y"), ("here", "/there/z")]
    for text, expected in {
        "/runs/a": "/there/x",
        "/runs/a/b.npz": "/there/x/b.npz",
        "/runs/a/job/b": "/there/y/b",
        "/runs/ab": "/runs/ab",
        "/more/runs/a": "/more/runs/a",
        "--output_dir=/runs/a/job": "--output_dir=/there/y",
        "/runs/a/job:/runs/a:/else": "/there/y:/there/x:/else",
        "here/b but not there or hereafter": "/there/z/b but not there or hereafter",
    }.items():
        assert paths.replace(text, pairs) == expected
    assert paths.replace("anything", []) == "anything"


def test_paths_in_json_are_replaced_too() -> None:
    path = '/a "b"/ü'
    text = json.dumps({"opponent": f"{path}/c", "other": [path]})
    replaced = json.loads(paths.replace(text, [(path, "/there")]))
    assert replaced == {"opponent": "/there/c", "other": ["/there"]}


def test_places_keep_what_lies_between_paths() -> None:
    named = paths.travelling(Path("/runs/job"), [Path("/runs/mixture"), Path("/else/run/config.json")])
    assert dict(paths.make_pairs(named, "/scratch")) == {
        "/runs/job": "/scratch/runs/job",
        "/runs/mixture": "/scratch/runs/mixture",
        "/runs": "/scratch/runs",
        "/else/run/config.json": "/scratch/else/run/config.json",
        "/else/run": "/scratch/else/run",
    }


def test_only_the_entry_of_this_package_is_replaced() -> None:
    environment = {"PYTHONPATH": "/work:/work/more", "OTHER": "/work"}
    assert paths.replace_root(environment, "/work", "/there") == {
        "PYTHONPATH": "/there:/work/more",
        "OTHER": "/work",
    }
    assert paths.replace_root({"OTHER": "/work"}, "/work", "/there") == {"OTHER": "/work"}
