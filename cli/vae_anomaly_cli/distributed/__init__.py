"""Runs whose parts are scored apart: by several machines, or by the workers of an engine."""
