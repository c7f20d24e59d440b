"""What `polyroute doctor` looks at: each module has one part of an installation, and yields what it found there."""
