"""What the Dockerfile runs: mirror.py in every stage that downloads, the others in the stage of their name."""
