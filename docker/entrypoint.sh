#!/bin/bash
# Gives a command ROS 2 and this workspace.
set -e
source /opt/ros/jazzy/setup.bash
source /binpose/install/setup.bash
exec "$@"
