"""Updates of projects from their template, with real git repositories."""
