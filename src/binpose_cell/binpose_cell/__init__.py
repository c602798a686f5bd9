"""A simulated cell that picks: MuJoCo decides whether a grasp at a pose holds."""
