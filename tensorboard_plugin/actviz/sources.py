"""Files open for reading at any offset: local ones, and those of TensorBoard's file layer (``s3://``, ``gs://``, fsspec's schemes)."""

from __future__ import annotations

import os
from typing import Protocol

from tensorboard.compat import tf

Identity = tuple[int, int]


class Source(Protocol):
    """A file open for reading at any offset: the seam between local files and TensorBoard's file layer."""

    size_bytes: int
    identity: Identity | None
    reads_cheaply: bool

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`; fewer only at the end of the file."""

    def close(self) -> None:
        """Release the file; idempotent."""


class _LocalSource:
    reads_cheaply = True

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        status = os.fstat(self._file.fileno())
        self.size_bytes = status.st_size
        self.identity: Identity | None = (status.st_dev, status.st_ino)

    def read(self, offset: int, size: int) -> bytes:
        data = self._some(offset, size)
        while 0 < len(data) < size and (more := self._some(offset + len(data), size - len(data))):
            data += more
        return data

    def _some(self, offset: int, size: int) -> bytes:
        """Return at least a byte, where the file has one there."""
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, offset)
        self._file.seek(offset)
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()


class _RemoteSource:
    """Reads through the file system that TensorBoard has registered for the path's scheme."""

    reads_cheaply = False

    def __init__(self, path: str) -> None:
        self._path = path
        self.size_bytes = int(tf.io.gfile.stat(path).length)
        self.identity: Identity | None = None
        get_filesystem = getattr(tf.io.gfile, "get_filesystem", None)
        self._filesystem = get_filesystem(path) if get_filesystem else None

    def read(self, offset: int, size: int) -> bytes:
        if self._filesystem is None:  # TensorFlow is installed, and is TensorBoard's file layer
            with tf.io.gfile.GFile(self._path, "rb") as file:
                file.seek(offset)
                return bytes(file.read(size))
        # The token is opaque, and named otherwise by each file system; the S3 one reads a byte too many.
        token = {"opaque_offset": offset, "byte_offset": offset}
        data, _ = self._filesystem.read(self._path, binary_mode=True, size=size, continue_from=token)
        return bytes(data[:size])

    def close(self) -> None:
        pass


def is_remote(path: str) -> bool:
    """Say whether a path has a scheme, as in ``s3://bucket/logs``."""
    return "://" in path


def open_source(path: str) -> Source:
    """Open a file for reading at any offset.

    Raises:
        OSError, or the file system's own error: it is not there, or cannot be read.
    """
    return _RemoteSource(path) if is_remote(path) else _LocalSource(path)


def status(path: str) -> tuple[int, ...]:
    """Return what changes whenever the file does."""
    if is_remote(path):
        return (int(tf.io.gfile.stat(path).length),)
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
