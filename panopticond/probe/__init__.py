"""The probes: one question each to the outside world, one Observation back; nothing here decides a state."""
