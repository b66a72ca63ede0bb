"""Faults against a real pair on the local cluster, and what is checked after each. See docs/reliability.md."""
