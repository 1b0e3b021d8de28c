"""Plan: blueprints, and the nodes that write them."""
