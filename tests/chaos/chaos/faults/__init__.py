"""All faults, one file a family; importing this registers them."""

from . import control_plane, disks, elsewhere, links, nodes, pods, processes, switches

__all__ = ["control_plane", "disks", "elsewhere", "links", "nodes", "pods", "processes", "switches"]
