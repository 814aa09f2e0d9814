"""Tests of acme_psro.system.signed_json."""

import json

import pytest

from acme_psro.system.signed_json import read_signed, sign

DATA = {"version": 1, "names": ["a", "b"], "nested": {"value": 0.1}}


def test_what_is_signed_is_read_back_in_any_layout() -> None:
    signed = sign(DATA)
    assert set(signed) == {*DATA, "sha256"}
    for text in (
        json.dumps(signed),
        json.dumps(signed, indent=1).encode(),
        json.dumps(signed, sort_keys=True),
    ):
        assert read_signed(text) == DATA


@pytest.mark.parametrize(
    "text",
    [
        "",
        json.dumps(sign(DATA))[:-2],
        json.dumps(sign(DATA) | {"version": 2}),
        json.dumps(DATA),
        "[]",
        b"\xff",
    ],
)
def test_what_is_truncated_or_altered_is_refused(text: bytes | str) -> None:
    assert read_signed(text) is None
