"""Faults on purpose: killed processes, broken networks, and a pipeline to try them on."""
