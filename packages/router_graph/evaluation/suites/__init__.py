"""What can be evaluated by name: where its files lie, what is asked, and what it is compared with."""
