"""Self-play on the device: one network plays all sides of a compiled game and learns from every decision."""
