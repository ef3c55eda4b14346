"""Observations in, conclusions with reasons out: state (verdict), class (classify), incident, aggregates. All pure."""
