"""One file per command: a dataclass with its options and its `run` method."""
