"""The limit that the gateway is measured against: plain ASGI, orjson and onnxruntime, with no check of anything.

Started as ``python -m bench.plain_app GRAPH PORT``. It reads MLflow's ``dataframe_split`` (rows of float64 in the
graph's order) and the Open Inference Protocol's JSON, and answers in the gateway's own forms.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
import orjson
from uvicorn.config import Config
from uvicorn.server import Server

OUTPUTS = ["prediction", "probabilities"]

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class PlainApp:
    """Answer with as little work as the libraries allow."""

    def __init__(self, graph: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._names = [each.name for each in self._session.get_inputs()]

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer = self._invoke(body) if scope["path"] == "/invocations" else self._infer(body)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _invoke(self, body: bytes) -> bytes:
        rows = np.array(orjson.loads(body)["dataframe_split"]["data"], dtype=np.float64)
        prediction, probabilities = self._session.run(OUTPUTS, dict(zip(self._names, rows.T, strict=True)))
        pairs = zip(prediction.tolist(), probabilities.tolist(), strict=True)
        return orjson.dumps({"predictions": [{"prediction": value, "probabilities": each} for value, each in pairs]})

    def _infer(self, body: bytes) -> bytes:
        feed = {each["name"]: np.array(each["data"], dtype=np.float64) for each in orjson.loads(body)["inputs"]}
        prediction, probabilities = self._session.run(OUTPUTS, feed)
        outputs = [
            {"name": "prediction", "datatype": "BYTES", "shape": prediction.shape, "data": prediction.tolist()},
            {"name": "probabilities", "datatype": "FP32", "shape": probabilities.shape, "data": probabilities.ravel()},
        ]
        return orjson.dumps({"model_name": "m", "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)


if __name__ == "__main__":
    config = Config(
        PlainApp(sys.argv[1]),
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )
    Server(config).run()
