"""TensorBoard events, written without TensorFlow: scalars, texts, images and hyper-parameters.

TensorBoard's own writers import TensorFlow if it is installed. Those of tensorboardX write late, from threads
of their own, and no version of it suits both TensorFlow 2.8, which the Acme layer needs, and newer protobuf.
"""

from __future__ import annotations

import math
import os
import pathlib
import socket
import struct
import time
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.hparams import plugin_data_pb2

# A value of a hyper-parameter as TensorBoard's table of runs shows it.
Setting = bool | float | str


class EventWriter:
    """Writer of a new TensorBoard events file; also a context manager that closes it.

    Every call reaches the file before it returns, so a run that is killed keeps its curves.
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
        self._metadata = summary_pb2.SummaryMetadata
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
        values = [
            self._summary.Value(tag=tag, simple_value=float(value))
            for tag, value in scalars.items()
            if not math.isnan(value)
        ]
        self._write_values(step, values, wall_time)

    def write_text(self, tag: str, text: str) -> None:
        """Writes a text, which TensorBoard shows as Markdown."""
        from tensorboard.compat.proto import tensor_pb2, tensor_shape_pb2, types_pb2

        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING,
            string_val=[text.encode()],
            tensor_shape=tensor_shape_pb2.TensorShapeProto(
                dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)]
            ),
        )
        value = self._summary.Value(tag=tag, tensor=tensor, metadata=self._of_plugin("text", b""))
        self._write_values(0, [value], time.time())

    def write_image(self, tag: str, png: bytes, step: int) -> None:
        """Writes an image.

        Args:
          tag: the image's name.
          png: the content of a PNG file with transparency.
          step: the step of the image, e.g. the iteration.
        """
        # A PNG file begins with 8 bytes of signature, 4 of length and 4 of type, then width and height.
        width, height = struct.unpack_from(">II", png, 16)
        image = self._summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        self._write_values(step, [self._summary.Value(tag=tag, image=image)], time.time())

    def write_settings(self, settings: Mapping[str, Setting]) -> None:
        """Writes a run's settings: as a text, and for the table of hyper-parameters, which compares runs.

        Args:
          settings: values by name.
        """
        rows = "".join(f"| {name} | {value} |\n" for name, value in settings.items())
        self.write_text("configuration", f"| setting | value |\n| --- | --- |\n{rows}")
        self.write_hyperparameters(settings)

    def write_hyperparameters(self, settings: Mapping[str, Setting]) -> None:
        """Writes the settings by which TensorBoard's table of hyper-parameters compares runs.

        Args:
          settings: values by name.
        """
        from tensorboard.plugins.hparams import plugin_data_pb2

        start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
        for name, value in settings.items():
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, str):
                start.hparams[name].string_value = value
            else:
                start.hparams[name].number_value = value
        data = plugin_data_pb2.HParamsPluginData(version=0, session_start_info=start)
        self._write_session("_hparams_/session_start_info", data)

    def write_end(self, is_success: bool) -> None:
        """Writes for the table of hyper-parameters that the run has ended.

        Args:
          is_success: True if the run is done, False if it ended early.
        """
        from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

        status = api_pb2.STATUS_SUCCESS if is_success else api_pb2.STATUS_FAILURE
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        data = plugin_data_pb2.HParamsPluginData(version=0, session_end_info=end)
        self._write_session("_hparams_/session_end_info", data)

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

    def _write_session(self, tag: str, data: plugin_data_pb2.HParamsPluginData) -> None:
        metadata = self._of_plugin("hparams", data.SerializeToString())
        self._write_values(0, [self._summary.Value(tag=tag, metadata=metadata)], time.time())

    def _of_plugin(self, name: str, content: bytes) -> summary_pb2.SummaryMetadata:
        """Returns the metadata of a value that a plugin of TensorBoard shows."""
        return self._metadata(plugin_data=self._metadata.PluginData(plugin_name=name, content=content))

    def _write_values(self, step: int, values: Sequence[summary_pb2.Summary.Value], wall_time: float) -> None:
        """Writes one event with all values, or nothing if there are none."""
        if self._records.closed:
            raise ValueError("this EventWriter is closed; write before close(), or open a new one")
        if values:
            summary = self._summary(value=values)
            self._append(self._event(step=int(step), wall_time=float(wall_time), summary=summary))

    def _append(self, event: event_pb2.Event) -> None:
        """Appends an event to the file and flushes it."""
        self._records.write(event.SerializeToString())
        self._records.flush()
