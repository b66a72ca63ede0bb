"""How long a client waits when a master is lost: a pair, and Kudu's own Raft with three masters. See docs/benchmarks."""
