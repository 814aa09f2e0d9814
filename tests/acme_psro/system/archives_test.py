"""Arrays become the bytes that NumPy writes, and an interruption leaves nothing behind that complains."""

import gc
import io
import sys
from typing import Any

import numpy as np
import pytest

from acme_psro.system import archives

ARRAYS = {
    "numbers": np.arange(2000, dtype=np.float64).reshape(40, 50),
    "none": np.zeros((0, 3), np.int32),
    "scalar": np.array(7),
    "truths": np.array([True, False]),
}


@pytest.mark.parametrize(("compressed", "theirs"), [(True, np.savez_compressed), (False, np.savez)])
def test_the_bytes_are_numpys(compressed: bool, theirs: Any) -> None:
    buffer = io.BytesIO()
    theirs(buffer, **ARRAYS)
    assert archives.pack(ARRAYS, compressed=compressed) == buffer.getvalue()


def test_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        archives.pack({"objects": np.array([{}, None])})


@pytest.mark.parametrize("written", range(3))
def test_an_interruption_is_nothing_but_itself(monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    complaints: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    write, calls = np.lib.format.write_array, []

    def interrupted(entry: Any, values: np.ndarray, **options: Any) -> None:
        if len(calls) == written:
            raise KeyboardInterrupt
        calls.append(values)
        write(entry, values, **options)

    monkeypatch.setattr(np.lib.format, "write_array", interrupted)
    # Objects of other tests are none of this one's, and may be millions.
    gc.freeze()
    with pytest.raises(KeyboardInterrupt):
        archives.pack(ARRAYS)
    gc.collect()
    assert complaints == []
