"""Curves for TensorBoard, written beside the log."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event as _Entry
from tensorboardX.proto.event_pb2 import SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter


class Curves:
    """TensorBoard's events. Where they cannot be written training goes on without; `fault` says so once."""

    def __init__(self, folder: Path, first: int) -> None:
        self.fault = ""
        self._path = folder / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}"
        self._writer: RecordWriter | None = None
        with self._noted():
            self._writer = RecordWriter(str(self._path))
        self._put(_Entry(file_version="brain.Event:2"))
        self._put(_Entry(step=first, session_log=SessionLog(status=SessionLog.START)))  # hides what a kill undid

    def add(self, part: str, values: Mapping[str, float], step: int) -> None:
        """One value a curve; the curves of one `part` stand together."""
        scalars = [Summary.Value(tag=f"{part}/{name}", simple_value=value) for name, value in values.items()]
        self._put(_Entry(step=step, summary=Summary(value=scalars)))

    def _put(self, entry: _Entry) -> None:
        entry.wall_time = time.time()
        with self._noted():
            if self._writer is not None:
                self._writer.write(entry.SerializeToString())

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            self.fault = f"{self._path}: cannot be written ({fault.strerror}); training goes on without these curves."
            self.close()

    def close(self) -> None:
        """Let go of the file; nothing more is written."""
        writer, self._writer = self._writer, None
        with contextlib.suppress(OSError):
            if writer is not None:
                writer.close()

    def flush(self) -> Iterator[str]:
        """Bring what was added to the disk; whatever hindered it is told once."""
        with self._noted():
            if self._writer is not None:
                self._writer.flush()
        if self.fault:
            yield self.fault
            self.fault = ""
