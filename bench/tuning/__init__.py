"""Tuning with Ray Tune: the only folder that imports ray."""
