"""Load balancers on a host: the copies that run here, and HAProxy's configuration for each. Pure."""
