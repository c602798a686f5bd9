#!/bin/bash
# Gives a command ROS 2, this workspace, and Fast DDS' profile for images unless the container has another one.
set -e
source /opt/ros/jazzy/setup.bash
source /binpose/install/setup.bash
source /binpose/install/binpose/share/binpose/config/fastdds.sh
exec "$@"
