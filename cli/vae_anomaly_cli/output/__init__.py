"""Where results go: targets, files that are there whole or not at all, and sinks for streams of rows."""
