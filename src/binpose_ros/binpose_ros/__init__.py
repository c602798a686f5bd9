"""What every ROS 2 node shares: message conversion, the node base, parameters, model swaps and diagnostics.

Conversion, joining, settings, models and diagnostics work without ROS, on anything that has the fields of the messages;
`inputs`, `parameters`, `announcing` and `stage_node` need it.
"""
