"""The API's effects: HTTP in and out, watch streams."""
