"""A2Bench anyone can run: metrics with pinned definitions, settings, a restartable runner, reports, a user study."""
