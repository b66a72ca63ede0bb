"""What the demo and the end-to-end tests share: a cluster, a pair on it, a client that watches."""
