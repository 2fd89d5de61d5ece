"""hexcab's own parts, started as programs of their own so that their CPU seconds can be told apart."""
