"""Where analytics meets sockets, clocks and files."""
