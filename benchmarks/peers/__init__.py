"""What hexcab is compared with, each driven as its own documentation would."""
