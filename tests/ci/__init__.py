"""From a push to an image in a registry."""
