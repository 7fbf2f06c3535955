"""Health checks: what is asked of workloads, how, and what follows from the answers. Pure."""
