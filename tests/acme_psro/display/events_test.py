"""Tests of acme_psro.display.events."""

import math
import os
import pathlib
import struct
import subprocess
import sys

import pytest
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from acme_psro.display.events import EventWriter

_ROOT = str(pathlib.Path(__file__).parents[3])


def read_events(directory: pathlib.Path) -> list[event_pb2.Event]:
    """Returns the events of the only file in `directory`, parsed as TFRecords by hand."""
    (path,) = directory.iterdir()
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        event = event_pb2.Event()
        event.ParseFromString(data[12 : 12 + length])
        events.append(event)
        data = data[16 + length :]
    return events


def test_every_write_is_on_disk_at_once_and_nan_is_left_out(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "new" / "events"
    writer = EventWriter(directory)
    writer.write(3, {"nash_conv": 0.5, "gap_0": math.nan, "inf": math.inf}, wall_time=12.25)
    writer.write(4, {"gap_0": math.nan}, wall_time=13.0)
    version, event = read_events(directory)
    assert version.file_version == "brain.Event:2"
    assert (event.step, event.wall_time) == (3, 12.25)
    values = {value.tag: value.simple_value for value in event.summary.value}
    assert values == {"nash_conv": 0.5, "inf": math.inf}
    writer.close()
    assert len(read_events(directory)) == 2


def test_closed_writer_refuses_to_write(tmp_path: pathlib.Path) -> None:
    with EventWriter(tmp_path) as writer:
        pass
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(0, {"x": 1.0}, wall_time=0.0)


def _value(writer: EventWriter, directory: pathlib.Path) -> summary_pb2.Summary.Value:
    """Closes the writer and returns the only value that it has written."""
    writer.close()
    _, event = read_events(directory)
    (value,) = event.summary.value
    return value


def test_a_text_and_an_image_are_stored_as_they_are(tmp_path: pathlib.Path) -> None:
    writer = EventWriter(tmp_path / "text")
    writer.write_text("configuration", "| ä |\n")
    value = _value(writer, tmp_path / "text")
    assert (value.tag, value.metadata.plugin_data.plugin_name) == ("configuration", "text")
    assert [text.decode() for text in value.tensor.string_val] == ["| ä |\n"]
    # A PNG file of 300 x 2 pixels, as far as a reader of its size looks.
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 300, 2) + b"rest"
    writer = EventWriter(tmp_path / "image")
    writer.write_image("payoffs", png, 7)
    assert read_events(tmp_path / "image")[1].step == 7
    image = _value(writer, tmp_path / "image").image
    assert (image.width, image.height, image.encoded_image_string) == (300, 2, png)


def test_hyper_parameters_keep_their_kinds(tmp_path: pathlib.Path) -> None:
    writer = EventWriter(tmp_path)
    writer.write_hyperparameters({"game": "kuhn_poker", "seed": 3, "tolerance": 0.5, "fast": True})
    value = _value(writer, tmp_path)
    assert value.metadata.plugin_data.plugin_name == "hparams"
    data = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
    settings = data.session_start_info.hparams
    kinds = {name: setting.WhichOneof("kind") for name, setting in settings.items()}
    assert kinds == {
        "game": "string_value",
        "seed": "number_value",
        "tolerance": "number_value",
        "fast": "bool_value",
    }
    assert (settings["game"].string_value, settings["seed"].number_value) == ("kuhn_poker", 3)


def test_two_writers_use_two_files(tmp_path: pathlib.Path) -> None:
    with EventWriter(tmp_path), EventWriter(tmp_path):
        assert len(list(tmp_path.iterdir())) == 2


def _run(code: str, *paths: pathlib.Path) -> str:
    """Runs Python code in a new process with `paths` on its search path, and returns its output."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([*map(str, paths), _ROOT]))
    process = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_tensorflow_is_not_imported_even_if_it_is_installed(tmp_path: pathlib.Path) -> None:
    package = tmp_path / "packages" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('tensorflow was imported')")
    _run(
        "import sys\n"
        "from acme_psro.display.events import EventWriter\n"
        "assert not any(name.startswith('tensorboard') for name in sys.modules)\n"
        f"writer = EventWriter({str(tmp_path / 'events')!r})\n"
        "writer.write(0, {'x': 1.0}, 0.0)\n"
        "writer.close()\n"
        "assert 'tensorflow' not in sys.modules\n",
        package.parent,
    )


def test_tensorboard_reads_the_file(tmp_path: pathlib.Path) -> None:
    with EventWriter(tmp_path) as writer:
        writer.write_text("configuration", "game")
        writer.write_hyperparameters({"game": "kuhn_poker"})
        writer.write_end(is_success=True)
        writer.write(0, {"nash_conv": 0.5}, wall_time=10.0)
        writer.write(1, {"nash_conv": 0.25}, wall_time=11.0)
    # TensorBoard reads the file without TensorFlow if this marker module exists.
    printed = _run(
        "import sys, types\n"
        "sys.modules['tensorboard.compat.notf'] = types.ModuleType('notf')\n"
        "from tensorboard.backend.event_processing import event_accumulator\n"
        f"events = event_accumulator.EventAccumulator({str(tmp_path)!r})\n"
        "events.Reload()\n"
        "if 'nash_conv' in events.Tags()['scalars']:\n"
        "    values = [(e.step, e.wall_time, e.value) for e in events.Scalars('nash_conv')]\n"
        "else:\n"
        "    values = [(e.step, e.wall_time, e.tensor_proto.float_val[0])"
        " for e in events.Tensors('nash_conv')]\n"
        "print(values)\n"
        "print(events.Tensors('configuration')[0].tensor_proto.string_val)\n"
        "print(sorted(events.PluginTagToContent('hparams')))\n"
    )
    assert printed.splitlines() == [
        "[(0, 10.0, 0.5), (1, 11.0, 0.25)]",
        "[b'game']",
        "['_hparams_/session_end_info', '_hparams_/session_start_info']",
    ]
