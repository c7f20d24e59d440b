"""From samples to a trained policy in a folder. Nothing here imports torch before something is trained."""
