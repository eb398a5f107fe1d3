"""TensorFlow's process: ``python -m components.runtime.savedmodel.child PARENT REQUESTS REPLIES``.

Only `host` starts it. It imports TensorFlow once (seconds, hundreds of megabytes) and from then on forks a server for
each product that it is told to serve: a fork takes none of that again, and a server that dies takes no other with it.
It never opens a product itself: once TensorFlow has threads, a process must not fork.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn

from components.runtime.savedmodel import frames
from components.stage.process import die_with_parent

MOST_LANES = 64
_SIGNATURE, _TAG = "serving_default", "serve"
_REQUEST_BYTES = 65_536


def main(parent: int, requests_fd: int, replies_fd: int) -> NoReturn:
    """Import TensorFlow, say so, and fork a server for every request."""
    _watch(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the process that started this one
    replies = os.fdopen(replies_fd, "w", buffering=1)
    try:
        import tensorflow
    except Exception as error:
        print(json.dumps({"failed": _words(error)}), file=replies, flush=True)
        raise SystemExit(1) from None
    tensorflow.get_logger().setLevel("ERROR")
    _Host(socket.socket(fileno=requests_fd), replies).run()


class _Host:
    """Forks servers and says when they end."""

    def __init__(self, requests: socket.socket, replies: Any) -> None:
        self._requests = requests
        self._replies = replies
        self._servers: dict[int, int] = {}
        """The process of each server, by its number."""

    def run(self) -> NoReturn:
        heard, woken = socket.socketpair()
        for each in (heard, woken):
            each.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it arrives as a byte
        self._woken = (heard, woken)
        self._tell(ready=True)
        while True:
            readable, _, _ = select.select([self._requests, heard], [], [])
            if heard in readable:
                heard.recv(4096)
                self._reap()
            if self._requests in readable:
                self._hear()

    def _hear(self) -> None:
        content, descriptors = _receive(self._requests)
        request = json.loads(content)
        if "kill" in request:
            if (pid := self._servers.get(request["kill"])) is not None:
                os.kill(pid, signal.SIGKILL)
            return
        number, host = request["serve"], os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no memory, or too many processes: the servers that are there go on
            self._refuse(number, descriptors, error)
            return
        if pid == 0:
            self._serve(request, descriptors, host)
        for each in descriptors:
            os.close(each)
        self._servers[number] = pid
        self._tell(server=number, pid=pid)

    def _refuse(self, number: int, descriptors: list[int], error: OSError) -> None:
        """Say on its lanes that a server could not be started, and then that it ended."""
        said = frames.pack({"error": f"no process can be forked: {_words(error)}"})
        for each in descriptors:
            with socket.socket(fileno=each) as lane, contextlib.suppress(OSError):
                lane.sendall(said)
        self._tell(server=number, ended=os.EX_OSERR)

    def _serve(self, request: Mapping[str, Any], descriptors: list[int], host: int) -> NoReturn:
        """Be a server: in the forked process, until its lanes end."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self._requests, *self._woken):
            each.close()
        os.close(self._replies.fileno())
        _watch(host)
        serve(Path(request["directory"]), request["threads"], [socket.socket(fileno=each) for each in descriptors])
        os._exit(0)

    def _reap(self) -> None:
        for number, pid in list(self._servers.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._servers[number]
                self._tell(server=number, ended=os.waitstatus_to_exitcode(status))

    def _tell(self, **said: Any) -> None:
        print(json.dumps(said), file=self._replies, flush=True)


def serve(directory: Path, threads: int, lanes: list[socket.socket]) -> None:
    """Open a SavedModel, describe it on the first lane, and answer on all of them until they end."""
    try:
        model = Model(directory, threads)
    except Exception as error:
        lanes[0].sendall(frames.pack({"error": _words(error)}))
        return
    lanes[0].sendall(frames.pack({"inputs": model.inputs, "outputs": model.outputs}))
    others = [threading.Thread(target=answer, args=(model, lane), daemon=True) for lane in lanes[1:]]
    for each in others:
        each.start()
    answer(model, lanes[0])
    for each in others:
        each.join()


def answer(model: Model, lane: socket.socket) -> None:
    """Answer one request after the other, until there are no more."""
    with contextlib.suppress(OSError, EOFError):  # the other side is gone
        while True:
            header_bytes, payload_bytes = frames.sizes(_exactly(lane, frames.PREFIX.size))
            content = memoryview(_exactly(lane, header_bytes + payload_bytes))
            began_s = perf_counter()
            try:
                _, tensors = frames.unpack(content, header_bytes)
                reply = _timed(model.predict(tensors), began_s)
            except Exception as error:
                reply = frames.pack({"error": _words(error)})
            lane.sendall(reply)


class Model:
    """One SavedModel, open for many threads; computes in the thread that asks."""

    def __init__(self, directory: Path, threads: int) -> None:
        import tensorflow

        v1 = tensorflow.compat.v1
        # as TensorFlow Serving does; a session is twice as fast as the SavedModel's own functions for one row
        config = v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=-1)
        self._session = v1.Session(graph=tensorflow.Graph(), config=config)
        found = v1.saved_model.loader.load(self._session, [_TAG], str(directory))
        if _SIGNATURE not in found.signature_def:
            raise ValueError(f"it has no signature `{_SIGNATURE}`")
        signature = found.signature_def[_SIGNATURE]
        self._names = sorted(signature.inputs)
        self._outputs = sorted(signature.outputs)
        self.inputs = {name: _described(signature.inputs[name]) for name in self._names}
        self.outputs = {name: _described(signature.outputs[name]) for name in self._outputs}
        self._call: Callable[..., list[Any]] = self._session.make_callable(
            [signature.outputs[name].name for name in self._outputs],
            [signature.inputs[name].name for name in self._names],
        )

    def predict(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs by name."""
        return dict(zip(self._outputs, self._call(*[tensors[name] for name in self._names]), strict=True))


def _timed(outputs: dict[str, Any], began_s: float) -> bytes:
    return frames.pack({"seconds": perf_counter() - began_s}, outputs)


def _described(tensor: Any) -> list[Any]:
    """Return a tensor's type and shape, with -1 where any size is taken."""
    import tensorflow

    shape = None if tensor.tensor_shape.unknown_rank else [each.size for each in tensor.tensor_shape.dim]
    return [tensorflow.dtypes.as_dtype(tensor.dtype).name, shape]


def _receive(requests: socket.socket) -> tuple[bytes, list[int]]:
    """Return a request and the descriptors that came with it."""
    descriptors = array.array("i")
    space = socket.CMSG_SPACE(MOST_LANES * descriptors.itemsize)
    content, ancillary, _, _ = requests.recvmsg(_REQUEST_BYTES, space)
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return content, list(descriptors)


def _exactly(lane: socket.socket, size: int) -> bytearray:
    content = bytearray(size)
    view, at = memoryview(content), 0
    while at < size:
        got = lane.recv_into(view[at:])
        if not got:
            raise EOFError
        at += got
    return content


def _watch(parent: int) -> None:
    threading.Thread(target=die_with_parent, args=(parent,), daemon=True, name="parent-watch").start()


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
