"""Frames that came before it is known whether their sender may come in."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from picows import WSFrame, WSMsgType


class DataFrame(Protocol):
    """What is looked at in a frame that carries data."""

    @property
    def msg_type(self) -> WSMsgType: ...

    @property
    def fin(self) -> bool: ...

    @property
    def rsv1(self) -> bool: ...

    def get_payload_as_bytes(self) -> bytes: ...


class Kept(NamedTuple):
    """A frame whose buffer is used for the next one already."""

    msg_type: WSMsgType
    fin: bool
    rsv1: bool
    payload: bytes

    def get_payload_as_bytes(self) -> bytes:
        """The payload."""
        return self.payload


class KeptFrames:
    """Frames in order, up to so many bytes in all."""

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes
        self._frames: list[Kept] = []

    def keep(self, frame: WSFrame) -> bool:
        """Keep a frame; False when there is no room."""
        payload = frame.get_payload_as_bytes()
        self._left -= len(payload)
        if self._left < 0:
            return False
        self._frames.append(Kept(frame.msg_type, bool(frame.fin), bool(frame.rsv1), payload))
        return True

    def take(self) -> list[Kept]:
        """All of them, for the last time."""
        frames, self._frames = self._frames, []
        return frames
