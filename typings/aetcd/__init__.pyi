"""Types of what we use of the etcd client library, whose message classes are made at run time."""
