"""A frame as one scene: a later look at what the poses leave unexplained."""
