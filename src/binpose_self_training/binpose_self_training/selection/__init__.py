"""Selection of pseudo labels: which poses of a teacher are reliable enough to learn from."""
