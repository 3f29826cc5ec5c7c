"""The command line; the rightmost layer: nothing imports it."""
