"""The wire format of requests and answers, shared with the client."""
