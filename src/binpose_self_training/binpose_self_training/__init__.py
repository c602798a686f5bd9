"""The node `self_training`: records what the robot sees while it works."""
