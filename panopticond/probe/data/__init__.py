"""Data files of the probes: signatures, each with its source; read through importlib.resources."""
