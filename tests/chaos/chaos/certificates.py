"""A member's certificate that is over: signed by the pair's own authority, right in everything but its dates."""

from __future__ import annotations

import base64
import subprocess
import tempfile
from pathlib import Path

from kpdemo.cluster import LocalCluster
from kpdemo.shell import run

_CONFIG = """
[ca]
default_ca = it
[it]
database = {folder}/index.txt
rand_serial = yes
new_certs_dir = {folder}
default_md = sha256
policy = any
x509_extensions = member
[any]
organizationName = optional
commonName = supplied
[member]
subjectAltName = DNS:{host}
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
authorityKeyIdentifier = keyid
"""


def expired(cluster: LocalCluster, pair: str, member: str) -> dict[str, str]:
    """The fields of a Secret with a certificate of the member that ended long ago."""
    authority = cluster.get("secret", f"{pair}-replication-ca") or {}
    host = f"{member}.{pair}-members.{cluster.namespace}.svc"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, field in (("ca.crt", "tls.crt"), ("ca.key", "tls.key")):
            (folder / file).write_bytes(base64.b64decode(authority["data"][field]))
        (folder / "index.txt").touch()
        (folder / "openssl.cnf").write_text(_CONFIG.format(folder=folder, host=host))
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "ec.key")
        run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", folder / "ec.key", "-out", folder / "own.key")
        run("openssl", "req", "-new", "-key", folder / "own.key", "-subj", f"/O={pair}/CN={member}", "-out", folder / "own.csr")
        run(
            "openssl", "ca", "-batch", "-notext", "-config", folder / "openssl.cnf", "-cert", folder / "ca.crt", "-keyfile",
            folder / "ca.key", "-in", folder / "own.csr", "-out", folder / "own.crt",
            "-startdate", "20200101000000Z", "-enddate", "20200102000000Z",
        )
        made = {"tls.crt": folder / "own.crt", "tls.key": folder / "own.key"}
        return {field: base64.b64encode(file.read_bytes()).decode() for field, file in made.items()}


def is_over(cluster: LocalCluster, secret: str) -> bool:
    """Whether the certificate in a Secret has ended."""
    found = cluster.get("secret", secret) or {}
    pem = base64.b64decode(found["data"]["tls.crt"])
    return subprocess.run(["openssl", "x509", "-noout", "-checkend", "0"], input=pem, capture_output=True).returncode != 0
