"""Recording of what the robot sees: bags that ROS 2 plays, and that binpose reads without ROS."""
