"""Writes scalars as TensorBoard events, without importing TensorFlow."""

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
    """Appends scalars to a new TensorBoard events file in a directory.

    Every `write` reaches the file before it returns, so that a run that is killed keeps its curves.
    A resumed run opens a second file in the same directory; TensorBoard joins them.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        """Creates `directory` where missing, and the events file in it."""
        # Imported here, since it costs time; record_writer and the protos leave TensorFlow alone,
        # which tensorboard's own event_file_writer does not.
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer import record_writer

        self._event = event_pb2.Event
        self._summary = summary_pb2.Summary
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        now = time.time()
        unique = f"{os.getpid()}.{uuid.uuid4().hex[:8]}"
        name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{unique}"
        file = (directory / name).open("xb")
        self._records = record_writer.RecordWriter(file)
        self._append(event_pb2.Event(wall_time=now, file_version="brain.Event:2"))

    def write(self, step: int, scalars: Mapping[str, float], wall_time: float) -> None:
        """Writes one event.

        Args:
          step: the step all scalars belong to, e.g. the iteration; the x axis in TensorBoard.
          scalars: value by tag, stored as 32-bit floats; those that are nan are left out.
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
        """Closes the file; calling it again does nothing."""
        if not self._records.closed:
            self._records.close()

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _append(self, event: event_pb2.Event) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()
