"""Effects of the lab: namespaces, links, processes, sockets and guests."""
