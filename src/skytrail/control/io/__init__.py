"""Where the control node meets sockets: the XMPP server and the API watch."""
