"""The commands, each of which parses, calls and prints; heavy parts are imported inside them."""
