"""One small file per command: a dataclass of its options and what it runs."""
