"""What the ROS 2 nodes are composed of: message conversion, parameters, inputs, models, lifecycle and diagnostics.

Conversion, synchronization, settings and the values of diagnostics work without ROS, on anything that has the fields of
the messages. `lifecycle`, `parameters`, `inputs`, `frame_worker`, `results`, the modules `model_*` but `stage_model`,
`node_checks` and `node_diagnostics` need rclpy. A node has these parts:

    parameters   Parameters        declared from a settings dataclass
    monitor      Monitor           times, counts and the outcome of the last frame
    models       ModelHolder       the model in use, the one before, and the next one
    model_source ModelLeader       decides which model is used, or
                 ModelFollower     uses the model of the node on whose results it works
    results      Results           publishers of results and of each frame's status
    frames       FrameWorker       subscriptions, synchronization, and the thread that processes the newest frame
    diagnostics  NodeDiagnostics   /diagnostics
"""
