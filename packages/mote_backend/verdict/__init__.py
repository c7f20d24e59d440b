"""Whether a mask does what it is said to do: its effect beside its controls, by written rules."""
