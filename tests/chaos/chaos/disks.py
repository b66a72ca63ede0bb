"""Volumes that are small file systems of their own, which can be full, slow or broken without harm to anything else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from kpdemo.cluster import LOCAL, LocalCluster
from kpdemo.shell import run, wait_for

CLASS = "chaos-small-disk"
# Where each node has its disk; what is below the kubelet's folder is visible to containers.
MOUNT = "/var/lib/kubelet/small-disk"
# The image of the disk lies in a file system in memory that can be filled: then the disk cannot write.
BACKING = "/var/lib/kubelet/small-disk-backing"
DISK_MB = 400
ATTACH = f"mount -o loop,nodiscard {BACKING}/image {MOUNT}"
# EXT4_IOC_SHUTDOWN without a flush: from then on the file system answers everything with EIO.
SHUT_DOWN = f"""python3 -c 'import fcntl, os; fcntl.ioctl(os.open("{MOUNT}", os.O_RDONLY), 0x8004587D, b"\\2\\0\\0\\0")'"""
NODES = (1, 2)


class SmallDisks:
    """One ext4 on a loop device on each of two nodes, handed to pods as local volumes."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster

    def make(self) -> None:
        """Makes them and tells Kubernetes."""
        for node in NODES:
            self._shell(
                node,
                f"mkdir -p {MOUNT} {BACKING} && mount -t tmpfs -o size={DISK_MB + 100}m tmpfs {BACKING}"
                # Without a journal a write that fails is the only thing that fails.
                f" && truncate -s {DISK_MB}M {BACKING}/image"
                f" && mkfs.ext4 -q -F -O ^has_journal -E nodiscard,lazy_itable_init=0 {BACKING}/image"
                f" && {ATTACH} && chmod 777 {MOUNT}",
            )
        kinds = [{
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": CLASS},
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
        }]
        for node in NODES:
            terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [f"node{node}"]}]}]
            kinds.append({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"{CLASS}-{node}"},
                "spec": {
                    "capacity": {"storage": f"{DISK_MB}Mi"}, "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain", "storageClassName": CLASS,
                    "local": {"path": MOUNT}, "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
                },
            })
        for kind in kinds:
            self._cluster.apply(json.dumps(kind))

    def storage(self) -> dict[str, Any]:
        """The `spec.storage` of a pair on them."""
        return {"wal": {"size": f"{DISK_MB}Mi", "storageClassName": CLASS}}

    def remove(self) -> None:
        """Takes the volumes back; the disks go with their nodes."""
        for node in NODES:
            self._cluster.kubectl("delete", "pv", f"{CLASS}-{node}", "--wait=false", "--ignore-not-found")

    @contextlib.contextmanager
    def full(self, node: int, *, left_kb: int = 64) -> Iterator[None]:
        """The file system is full but for a few kilobytes."""
        fill = (
            f"free=$(df --output=avail -k {MOUNT} | tail -1); fallocate -l $((free - {left_kb}))K {MOUNT}/ballast"
            f" || dd if=/dev/zero of={MOUNT}/ballast bs=64k 2>/dev/null; sync -f {MOUNT}"
        )
        self._shell(node, fill)
        try:
            yield
        finally:
            self._shell(node, f"rm -f {MOUNT}/ballast")

    def freeze(self, node: int) -> None:
        """Each write waits."""
        self._shell(node, f"fsfreeze --freeze {MOUNT}")

    def thaw(self, node: int) -> None:
        """Writes go on."""
        self._shell(node, f"fsfreeze --unfreeze {MOUNT}")

    @contextlib.contextmanager
    def exhausted(self, node: int) -> Iterator[None]:
        """The device has no more blocks to give, as one that is thinly provisioned: writes are taken, and fdatasync fails."""
        self._shell(node, f"dd if=/dev/zero of={BACKING}/ballast bs=1M 2>/dev/null; true")
        try:
            yield
        finally:
            self._shell(node, f"rm -f {BACKING}/ballast")

    def shut_down(self, node: int) -> None:
        """Everything is answered with EIO from now on."""
        self._shell(node, SHUT_DOWN)

    def repair(self, node: int) -> None:
        """Checks and mounts the file system again; nobody may use it."""

        def unmounted() -> bool:
            # The old pod's own mount keeps the broken file system alive until the kubelet has removed it, and with it the loop
            # device, which the next mount would take again.
            self._shell(node, f"umount {MOUNT} 2>/dev/null; true")
            return self._shell(node, f"mountpoint -q {MOUNT} && echo mounted; losetup --associated {BACKING}/image").strip() == ""

        wait_for(f"the disk of node {node} to be let go", unmounted, timeout_s=90)
        self._shell(node, f"fsck.ext4 -y {BACKING}/image >/dev/null; {ATTACH}")

    def _shell(self, node: int, script: str) -> str:
        return run(LOCAL, "node", "enter", str(node), "sh", "-c", script, timeout_s=60)
