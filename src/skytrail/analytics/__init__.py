"""The analytics node: what processes, hosts and switches tell, kept, aggregated and asked for."""
