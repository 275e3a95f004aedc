"""The process that serves: its connections, and how it stops."""
