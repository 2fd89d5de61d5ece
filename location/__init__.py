"""Where the drivers are: pings in, supply and trails out, and the sockets they come through.

Read in this order: messages (what a driver's app says and hears), model, intake (which pings are used), live (what is
known of each driver), supply (who is open to work, by segment), trail (where they drove), ports, and then gateway
(handshake, connection, server). Adapters keep supply and trails.
"""
