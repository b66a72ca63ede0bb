# The operator: one static binary and nothing else. Build that first,
#
#   RUSTFLAGS='-C target-feature=+crt-static' \
#     cargo build --release --target x86_64-unknown-linux-gnu
#
# then this with any builder (docker, podman, buildah), or with
# deploy/local/images build operator, which needs no daemon.
FROM scratch
ARG BINARY=target/x86_64-unknown-linux-gnu/release/kudu-pair
LABEL org.opencontainers.image.title="kudu-pair" \
      org.opencontainers.image.description="Active/standby pairs of Apache Kudu masters on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY ${BINARY} /kudu-pair
USER 65532:65532
ENTRYPOINT ["/kudu-pair"]
