"""The wire: what requests and answers look like; shared with the client."""
