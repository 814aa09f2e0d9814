"""Scalars as TensorBoard events, written without TensorFlow."""

from __future__ import annotations

import math
import os
import pathlib
import socket
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboard.compat.proto import event_pb2


class EventWriter:
    """Writer of scalars to a new TensorBoard events file; also a context manager that closes it.

    Every call of `write` reaches the file before it returns, so a run that is killed keeps its curves.
    A resumed run creates a second file in the same directory, and TensorBoard shows both as one run.

    Args:
        directory: the directory of the events file, created if it does not exist.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        # Imported here, because the import takes long. TensorBoard's own event_file_writer would import
        # TensorFlow if it is installed; record_writer and the protocol buffers do not.
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer import record_writer

        self._event = event_pb2.Event
        self._summary = summary_pb2.Summary
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        now = time.time()
        unique = f"{os.getpid()}.{uuid.uuid4().hex[:8]}"
        # TensorBoard recognises an events file by "tfevents" in its name, and reads the files of a
        # directory in the order of their names, so the time comes first.
        name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{unique}"
        # "x": never overwrite the events of another writer.
        file = (directory / name).open("xb")
        self._records = record_writer.RecordWriter(file)
        # The format requires that the first event holds the version.
        self._append(event_pb2.Event(wall_time=now, file_version="brain.Event:2"))

    def write(self, step: int, scalars: Mapping[str, float], wall_time: float) -> None:
        """Writes one event, or nothing if all scalars are nan.

        Args:
            step: the step of all scalars, e.g. the iteration; the x axis in TensorBoard.
            scalars: values by tag, stored as 32-bit floats. Values that are nan are left out.
            wall_time: seconds since the epoch.

        Raises:
            ValueError: the writer is closed.
        """
        if self._records.closed:
            raise ValueError("this EventWriter is closed; write before close(), or open a new one")
        values = [
            self._summary.Value(tag=tag, simple_value=float(value))
            for tag, value in scalars.items()
            if not math.isnan(value)
        ]
        if values:
            summary = self._summary(value=values)
            self._append(self._event(step=int(step), wall_time=float(wall_time), summary=summary))

    def close(self) -> None:
        """Closes the file. Further calls have no effect."""
        if not self._records.closed:
            self._records.close()

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _append(self, event: event_pb2.Event) -> None:
        """Appends an event to the file and flushes it."""
        self._records.write(event.SerializeToString())
        self._records.flush()
