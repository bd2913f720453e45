"""The subcommands of `coseg`: each module parses, calls and prints; heavy imports happen when a command runs."""
