"""One driver's socket: frames in, messages out, and the guards against floods, abuse and slow readers."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from location.gateway.codes import POLICY, PROTOCOL, TOO_BIG, TRY_LATER, UNSUPPORTED
from location.gateway.counts import Traffic
from location.gateway.hub import Hub
from location.gateway.kept import DataFrame, KeptFrames
from location.live import Driver
from location.messages import BadMessage, Codec, Error, Ping, Position
from runtime.settings import LocationSettings

_REASON_BYTES = 120  # a control frame holds 125, two of them for the code

_BAD_WINDOW_S = 60.0
_DATA = (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION)
_HELD_BACK = 64  # messages to a driver who has not had the welcome yet


class Connection(WSListener):
    """A driver's socket. Everything here runs in the event loop's callbacks; nothing waits."""

    __slots__ = (
        "_bad",
        "_bad_since",
        "_codec",
        "_data_kind",
        "_early",
        "_frames_since",
        "_hub",
        "_kept",
        "_loop",
        "_parts",
        "_read",
        "_settings",
        "_traffic",
        "ack_late",
        "acked_seq",
        "closing",
        "driver",
        "driver_id",
        "frames_left",
        "heard",
        "heard_at",
        "held",
        "lane_fd",
        "pinged",
        "ticket",
        "transport",
        "welcomed",
    )

    def __init__(
        self, driver_id: str, codec: Codec, hub: Hub[Connection], settings: LocationSettings, traffic: Traffic
    ) -> None:
        self.driver_id = driver_id
        self.driver: Driver
        self.ticket: str | None = None  # has to be used up before the driver counts as here
        self.acked_seq = -1
        self.ack_late = False  # an ack waits for the durable log
        self.welcomed = False
        self.held: list[Position] = []  # pings that came before the welcome
        self.closing = False
        self.heard = True
        self.pinged = False
        self.lane_fd = -1  # the socket's descriptor while the lane reads it
        self._codec = codec
        self._read = codec.read
        self._data_kind = WSMsgType.BINARY if codec.binary else WSMsgType.TEXT
        self._hub = hub
        self._settings = settings
        self._traffic = traffic
        self.transport: WSTransport
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self.frames_left = settings.flood_burst
        self._frames_since = self.heard_at
        self._bad = 0
        self._bad_since = self.heard_at
        self._parts: bytearray | None = None  # of a message that comes in several frames
        self._early: list[Any] = []
        self._kept = KeptFrames(settings.max_frame_bytes)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self._hub.opened(self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closing = True
        self._hub.leaving(self)
        self._hub.closed(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if self.closing:
            if kind == WSMsgType.CLOSE:
                transport.disconnect()
            return
        self.heard = True
        if self.lane_fd >= 0:
            self.frames_left = self.driver.frames_left
        self.frames_left -= 1
        if self.frames_left < 0 and self._flooded():
            self.close(POLICY, "more frames than allowed")
            return
        if self.ticket is not None and kind in _DATA:
            if not self._kept.keep(frame):
                self.close(TRY_LATER, "too much before the welcome")
        elif kind == self._data_kind and frame.fin and self._parts is None:
            self._message(frame.get_payload_as_bytes())
        else:
            self._other_frame(transport, frame, kind)
        if frame.last_in_buffer and not frame.tail_size and self.welcomed and self._parts is None and not self.closing:
            self._hub.settled(self)

    @property
    def binary(self) -> bool:
        """Whether messages are msgpack."""
        return self._codec.binary

    def come_in(self) -> None:
        """The ticket is used up: the driver is here, and what they have sent meanwhile counts."""
        self.ticket = None
        self._hub.opened(self)
        for frame in self._kept.take():
            if self.closing:
                return
            if frame.msg_type == self._data_kind and frame.fin and self._parts is None:
                self._message(frame.payload)
            else:
                self._fragment(frame, frame.msg_type)

    def pause_writing(self) -> None:
        """The limit on what waits is ours, in `_write`."""

    def resume_writing(self) -> None:
        """See pause_writing."""

    def send(self, message: Any) -> bool:
        """Send a message (a Struct or a contract dict); False when the connection is closing or cannot take more.

        What is sent before the welcome follows it.
        """
        if self.closing:
            return False
        if not self.welcomed:
            if len(self._early) >= _HELD_BACK:
                return False
            self._early.append(message)
            return True
        self._write(message)
        return not self.closing

    def welcome(self, message: Any) -> None:
        """Send the welcome, and what was held back for it."""
        if self.closing:
            return
        self.welcomed = True
        early, self._early = self._early, []
        for each in itertools.chain((message,), early):
            self._write(each)

    def error(self, code: str, detail: str, *, seq: int | None = None, about: str | None = None) -> None:
        """Tell the driver's app what is wrong. The connection stays."""
        self.send(Error(code, detail, seq, about))

    def hint_skew(self, behind_s: float) -> None:
        """A ping that should be of this moment is so old, and places nobody: say so once, unless it is a trifle."""
        if -self._settings.max_future_s <= behind_s <= self._settings.fresh_s:
            return
        self.driver.told_skew = True
        off = f"{abs(behind_s):.0f} s {'behind' if behind_s > 0 else 'ahead of'} the engine's time"
        self.error("clock_skew", f"ts: this ping is {off}; set the clock, or send what was buffered as pings")

    def probe(self) -> None:
        """Send a ping frame: a living client answers it."""
        self.pinged = True
        self.transport.send_ping()
        self.written()

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye; a client that does not answer is cut off after the grace time."""
        if self.closing:
            return
        self.closing = True
        self._hub.leaving(self)
        self._traffic.closed[code] = self._traffic.closed.get(code, 0) + 1
        self.transport.send_close(WSCloseCode(code), reason.encode("ascii", "replace")[:_REASON_BYTES])
        self._loop.call_later(self._settings.close_grace_s, self.cut)

    def cut(self) -> None:
        """End the connection at once, whatever is still to be sent."""
        if not self.transport.is_disconnected:
            self.transport.disconnect(graceful=False)

    def _write(self, message: Any) -> None:
        payload = self._codec.encode(message)
        transport = self.transport
        transport.send(self._data_kind, payload)
        self._traffic.frames_out += 1
        self._traffic.bytes_out += len(payload)
        self.written()

    def written(self) -> None:
        """Note whether something waits to be written, and close the connection when it is too much."""
        waiting = self.transport.underlying_transport.get_write_buffer_size()
        if self.lane_fd >= 0:
            self.driver.congested = waiting > 0
        if waiting > self._settings.send_queue_bytes and not self.closing:
            self.close(POLICY, "reads too slowly")

    def _message(self, payload: bytes) -> None:
        self._traffic.frames_in += 1
        self._traffic.bytes_in += len(payload)
        if len(payload) > self._settings.max_frame_bytes:
            self.close(TOO_BIG, "message too big")
            return
        try:
            message = self._read(payload)
        except Exception:
            self._bad_payload(payload)
            return
        if isinstance(message, Ping):
            self._hub.ping(self, message)
        else:
            self._hub.said(self, message)

    def _bad_payload(self, payload: bytes) -> None:
        try:
            self._codec.decode(payload)
        except BadMessage as bad:
            self.complain(bad.code, bad.detail, bad.seq)

    def complain(self, code: str, detail: str, seq: int | None = None) -> None:
        """Refuse a message; who sends too many bad ones is closed."""
        self._traffic.bad_messages += 1
        now = self._loop.time()
        if now - self._bad_since > _BAD_WINDOW_S:
            self._bad, self._bad_since = 0, now
        self._bad += 1
        self.error(code, detail, seq=seq)
        if self._bad > self._settings.max_bad_messages:
            self.close(POLICY, "too many bad messages")

    def _flooded(self) -> bool:
        """Grant the frames that time has earned since the last grant; True when there are none."""
        now = self._loop.time()
        earned = int((now - self._frames_since) * self._settings.max_frames_per_s)
        if earned < 1:
            return True
        self.frames_left += min(earned, self._settings.flood_burst)
        self._frames_since = now
        return self.frames_left < 0

    def _other_frame(self, transport: WSTransport, frame: WSFrame, kind: WSMsgType) -> None:
        if kind == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
            self.written()
        elif kind == WSMsgType.CLOSE:
            self.closing = True
            self._hub.leaving(self)
            code = frame.get_close_code()
            transport.send_close(WSCloseCode.OK if code == WSCloseCode.NO_INFO else code)
            transport.disconnect()
            self._loop.call_later(self._settings.close_grace_s, self.cut)
        elif kind != WSMsgType.PONG:
            self._fragment(frame, kind)

    def _fragment(self, frame: DataFrame, kind: WSMsgType) -> None:
        starts = kind != WSMsgType.CONTINUATION
        if frame.rsv1 or starts == (self._parts is not None):
            self.close(PROTOCOL, "frames out of order, or compressed without agreement")
            return
        if starts and kind != self._data_kind:
            wanted = "binary" if self._codec.binary else "text"
            self.complain("wrong_frame", f"{self._codec.subprotocol} messages are {wanted} frames")
            if not frame.fin:
                self.close(UNSUPPORTED, "wrong kind of frame")
            return
        if self._parts is None:
            self._parts = bytearray()
        self._parts += frame.get_payload_as_bytes()
        if len(self._parts) > self._settings.max_frame_bytes:
            self.close(TOO_BIG, "message too big")
        elif frame.fin:
            payload, self._parts = bytes(self._parts), None
            self._message(payload)
