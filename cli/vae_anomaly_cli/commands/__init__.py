"""The commands: their options, and what can be refused before anything is loaded."""
