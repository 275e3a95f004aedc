"""From a registration to a complete version: keys, upload URLs, verification, cleanup."""
