"""The driver WebSocket.

handshake (who comes in), connection (one socket), greeting (its beginning), lanes (commands in order), server (all).
"""

from location.gateway.parts import GatewayParts
from location.gateway.server import Gateway

__all__ = ["Gateway", "GatewayParts"]
