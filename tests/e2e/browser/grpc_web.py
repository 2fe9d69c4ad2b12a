"""gRPC-Web in a page: the browser's own fetch, and the framing that its clients do."""

import base64
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from playwright.sync_api import Page

from apps.protos.info_pb2 import InfoReply

_TRAILERS = 0x80
_CALL = """
async ([url, message, headers]) => {
  const body = Uint8Array.from(atob(message), letter => letter.charCodeAt(0));
  const began = performance.now();
  let answer;
  try { answer = await fetch(url, {method: "POST", body, headers}); } catch (error) { return {error: String(error)}; }
  const chunks = [];
  const reader = answer.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    chunks.push([performance.now() - began, btoa(String.fromCharCode(...part.value))]);
  }
  return {status: answer.status, headers: Object.fromEntries(answer.headers), chunks};
}
"""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a call brought; `times` are the milliseconds after which each message was there."""

    error: str = ""
    headers: dict[str, str]
    replies: list[InfoReply]
    times: list[float]
    trailers: dict[str, str]


def call(page: Page, url: str, request: Message, **headers: str) -> Answer:
    """A unary or server-streaming call from a page's script."""
    message = request.SerializeToString()
    framed = base64.b64encode(struct.pack(">BI", 0, len(message)) + message).decode()
    sent = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", **headers}
    seen: dict[str, Any] = page.evaluate(_CALL, [url, framed, sent])
    frames = list(_frames(seen.get("chunks", [])))
    replies = [(when, InfoReply.FromString(content)) for when, kind, content in frames if not kind & _TRAILERS]
    lines = [line for _, kind, content in frames if kind & _TRAILERS for line in content.decode().splitlines()]
    return Answer(
        error=seen.get("error", ""),
        headers=seen.get("headers", {}),
        replies=[reply for _, reply in replies],
        times=[when for when, _ in replies],
        trailers={name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)},
    )


def _frames(chunks: list[tuple[float, str]]) -> Iterator[tuple[float, int, bytes]]:
    """When a frame was whole, its flags and its content."""
    rest = b""
    for when, encoded in chunks:
        rest += base64.b64decode(encoded)
        while len(rest) >= 5:
            kind, length = struct.unpack(">BI", rest[:5])
            if len(rest) < 5 + length:
                break
            yield when, kind, rest[5 : 5 + length]
            rest = rest[5 + length :]
    assert not rest, "the last frame is not whole"
