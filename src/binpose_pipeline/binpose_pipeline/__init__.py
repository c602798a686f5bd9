"""From frames to poses with a trained model: pipeline, model bundles, tracking, and the evaluation of runs."""
